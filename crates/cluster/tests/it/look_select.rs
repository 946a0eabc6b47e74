//! Objects by kind, namespace, name and labels.

use backstay_cluster::ClusterError;
use backstay_cluster::filter::LabelSelector;
use backstay_cluster::look::select::{Namespaces, Query, near_names, select};
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_testkit::objects::snapshot;
use serde_json::{Value, json};

use crate::support::{Bucket, NOW};

fn config_map(namespace: &str, name: &str, team: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"team": team}}, "data": {"a": "1"}})
}

#[test]
fn objects_are_chosen_by_namespace_name_and_labels() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let objects = [
        config_map("blog", "app", "red"),
        config_map("shop", "app", "red"),
        config_map("shop", "cart", "blue"),
        config_map("shop-2", "app", "blue"),
    ];
    let snapshot = snapshot(&repository, "test", NOW, &objects);
    let mut reader = ObjectReader::new(&repository).unwrap();
    let lists = reader.lists(&snapshot).unwrap();
    let resource = &lists.get(&ResourceName::core("configmaps")).unwrap().resource;
    let mut check = |namespaces: Namespaces, names: &[&str], labels: Option<&str>, found: &[&str], missing: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let labels = labels.map(|text| LabelSelector::parse(text).unwrap());
        let query = Query { resource, namespaces: &namespaces, names: &names, labels: labels.as_ref() };
        let mut keys = Vec::new();
        let lacking = select(&mut reader, &snapshot, &query, &mut |object| {
            assert!(object.bytes.starts_with(b"{"));
            keys.push(format!("{}/{}", object.key.namespace.unwrap(), object.key.name));
            Ok::<_, ClusterError>(())
        })
        .unwrap();
        assert_eq!(
            (&keys[..], &lacking[..]),
            (
                &found.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..],
                &missing.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]
            )
        );
    };
    let these = |names: &[&str]| Namespaces::These(names.iter().map(|name| (*name).to_owned()).collect());
    check(these(&["shop"]), &[], None, &["shop/app", "shop/cart"], &[]);
    check(these(&["shop", "blog"]), &["app"], None, &["shop/app", "blog/app"], &[]);
    check(Namespaces::All, &[], None, &["blog/app", "shop/app", "shop/cart", "shop-2/app"], &[]);
    check(Namespaces::All, &["app", "none"], None, &["blog/app", "shop/app", "shop-2/app"], &["none"]);
    check(Namespaces::All, &[], Some("team in (blue), team!=red"), &["shop/cart", "shop-2/app"], &[]);
    check(these(&["none"]), &[], None, &[], &[]);
}

#[test]
fn close_names_are_found_in_any_namespace() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let snapshot =
        snapshot(&repository, "test", NOW, &[config_map("shop", "cart", "x"), config_map("blog", "other", "x")]);
    let mut reader = ObjectReader::new(&repository).unwrap();
    let lists = reader.lists(&snapshot).unwrap();
    let resource = &lists.get(&ResourceName::core("configmaps")).unwrap().resource;
    for (name, expected) in [
        ("cart", vec!["configmaps/cart in namespace shop"]),
        ("crt", vec!["configmaps/cart in namespace shop"]),
        ("zzzz", vec![]),
    ] {
        let near: Vec<_> =
            near_names(&mut reader, &snapshot, resource, name).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(near, expected, "{name}");
    }
}
