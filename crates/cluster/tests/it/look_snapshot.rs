//! Snapshots as they are read: what `backstay_testkit::objects` writes is what `snapshot` finds.

use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::{ObjectReader, Within, api_version};
use backstay_testkit::objects::snapshot;
use serde_json::json;

use crate::support::{Bucket, NOW};

#[test]
fn objects_are_found_by_key_by_collection_and_all_together() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}});
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let snapshot = snapshot(&repository, "test", NOW, &[web.clone(), shop.clone()]);
    let mut reader = ObjectReader::new(&repository).unwrap();

    let deployments = ResourceName::new("deployments", "apps");
    let key = ObjectKey::new(deployments.clone(), Some("shop"), "web");
    let item = reader.find(&snapshot, &key).unwrap().unwrap();
    assert_eq!(api_version(&item), "apps/v1");
    assert_eq!(reader.read(&item).unwrap(), serde_json::to_vec(&web).unwrap());

    let mut found = Vec::new();
    for within in [Within::Everything, Within::Resource(&deployments), Within::Collection(&deployments, None)] {
        let mut keys = Vec::new();
        reader
            .for_each(&snapshot, &within, &mut |_, key, _| {
                keys.push(key.to_string());
                Ok(())
            })
            .unwrap();
        found.push(keys);
    }
    assert_eq!(found[0], ["deployments.apps/web in namespace shop", "namespaces/shop"]);
    assert_eq!(found[1], ["deployments.apps/web in namespace shop"]);
    assert!(found[2].is_empty());
    let lists = reader.lists(&snapshot).unwrap();
    let counts: Vec<_> = lists.resources.iter().map(|it| (it.resource.kind.as_str(), it.objects)).collect();
    assert_eq!(counts, [("Deployment", 1), ("Namespace", 1)]);
}
