//! A `Backup` of Velero as a file of filters.
//!
//! Every field of its spec is known: filters are taken over, what has no meaning here yet is told, and a field that no Velero has is an
//! error, because a misspelt filter must not choose everything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{FilterError, Filters, LabelSelector};

/// What a manifest asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VeleroBackup {
    pub filters: Filters,
    /// As it is written: `720h`, `720h0m0s`.
    pub ttl: Option<String>,
    /// What it asks for and does not get.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Spec {
    included_namespaces: Option<Vec<String>>,
    excluded_namespaces: Option<Vec<String>>,
    included_resources: Option<Vec<String>>,
    excluded_resources: Option<Vec<String>>,
    include_cluster_resources: Option<bool>,
    included_cluster_scoped_resources: Option<Vec<String>>,
    excluded_cluster_scoped_resources: Option<Vec<String>>,
    included_namespace_scoped_resources: Option<Vec<String>>,
    excluded_namespace_scoped_resources: Option<Vec<String>>,
    label_selector: Option<Value>,
    or_label_selectors: Option<Vec<Value>>,
    ordered_resources: Option<BTreeMap<String, String>>,
    ttl: Option<String>,
    metadata: Option<Value>,
    hooks: Option<Hooks>,
    snapshot_volumes: Option<bool>,
    snapshot_move_data: Option<bool>,
    default_volumes_to_fs_backup: Option<bool>,
    default_volumes_to_restic: Option<bool>,
    resource_policy: Option<Value>,
    storage_location: Option<Value>,
    volume_snapshot_locations: Option<Value>,
    volume_group_snapshot_label_key: Option<Value>,
    csi_snapshot_timeout: Option<Value>,
    item_operation_timeout: Option<Value>,
    datamover: Option<Value>,
    uploader_config: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Hooks {
    resources: Option<Vec<Value>>,
}

impl VeleroBackup {
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let manifest: Manifest =
            serde_saphyr::from_str(text).map_err(|error| FilterError::Manifest { detail: error.to_string() })?;
        if !manifest.api_version.starts_with("velero.io/") || manifest.kind != "Backup" {
            let detail = format!(
                "it is {:?} of {:?}, where `kind: Backup` of `apiVersion: velero.io/v1` should be",
                manifest.kind, manifest.api_version
            );
            return Err(FilterError::Manifest { detail });
        }
        let spec = manifest.spec;
        let notes = spec.notes();
        let filters = Filters {
            included_namespaces: spec.included_namespaces.unwrap_or_default(),
            excluded_namespaces: spec.excluded_namespaces.unwrap_or_default(),
            included_resources: spec.included_resources.unwrap_or_default(),
            excluded_resources: spec.excluded_resources.unwrap_or_default(),
            include_cluster_resources: spec.include_cluster_resources,
            included_cluster_scoped_resources: spec.included_cluster_scoped_resources.unwrap_or_default(),
            excluded_cluster_scoped_resources: spec.excluded_cluster_scoped_resources.unwrap_or_default(),
            included_namespace_scoped_resources: spec.included_namespace_scoped_resources.unwrap_or_default(),
            excluded_namespace_scoped_resources: spec.excluded_namespace_scoped_resources.unwrap_or_default(),
            label_selector: spec.label_selector.as_ref().map(LabelSelector::from_json).transpose()?,
            or_label_selectors: spec
                .or_label_selectors
                .unwrap_or_default()
                .iter()
                .map(LabelSelector::from_json)
                .collect::<Result<_, _>>()?,
            ordered_resources: spec
                .ordered_resources
                .unwrap_or_default()
                .into_iter()
                .map(|(resource, names)| (resource, names_of(&names)))
                .collect(),
        };
        filters.check()?;
        Ok(Self { filters, ttl: spec.ttl, notes })
    }
}

impl Spec {
    fn notes(&self) -> Vec<String> {
        let has_hooks =
            self.hooks.as_ref().and_then(|hooks| hooks.resources.as_ref()).is_some_and(|hooks| !hooks.is_empty());
        let volumes = [self.snapshot_volumes, self.snapshot_move_data, self.default_volumes_to_fs_backup];
        let wants_volumes = volumes.contains(&Some(true)) || self.default_volumes_to_restic == Some(true);
        let rows = [
            (has_hooks, "hooks", "no hooks are run"),
            (
                wants_volumes,
                "snapshotVolumes, snapshotMoveData, defaultVolumesToFsBackup",
                "no data of volumes is taken",
            ),
            (self.resource_policy.is_some(), "resourcePolicy", "no policies are applied"),
            (
                self.storage_location.is_some() || self.volume_snapshot_locations.is_some(),
                "storageLocation, volumeSnapshotLocations",
                "the repository is the one of --repo",
            ),
            (self.metadata.is_some(), "metadata", "snapshots are labelled by --tag"),
            (
                self.csi_snapshot_timeout.is_some() || self.item_operation_timeout.is_some(),
                "csiSnapshotTimeout, itemOperationTimeout",
                "there is nothing to wait for",
            ),
            (
                self.datamover.is_some()
                    || self.uploader_config.is_some()
                    || self.volume_group_snapshot_label_key.is_some(),
                "datamover, uploaderConfig, volumeGroupSnapshotLabelKey",
                "no data of volumes is taken",
            ),
        ];
        let told = rows.into_iter().filter(|(is_set, ..)| *is_set);
        told.map(|(_, fields, instead)| format!("{fields} of the Velero backup: {instead}")).collect()
    }
}

/// The text of `--ordered-resources`: `pods=ns1/p1,ns1/p2;persistentvolumes=pv4`.
pub fn parse_ordered_resources(text: &str) -> Result<BTreeMap<String, Vec<String>>, FilterError> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('=') {
            Some((resource, names)) if !resource.trim().is_empty() => Ok((resource.trim().to_owned(), names_of(names))),
            _ => Err(FilterError::List {
                what: "ordered resources",
                detail: format!("{part:?} is not like pods=ns1/p1,ns1/p2"),
            }),
        })
        .collect()
}

fn names_of(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_a_manifest_are_those_of_the_flags() {
        let backup = VeleroBackup::parse(
            "apiVersion: velero.io/v1
kind: Backup
metadata: {name: nightly, namespace: velero}
spec:
  includedNamespaces: ['shop', 'web-*']
  excludedResources: [events]
  includeClusterResources: false
  labelSelector: {matchLabels: {app: web}}
  orderedResources: {pods: 'shop/a, shop/b'}
  ttl: 720h0m0s
  snapshotVolumes: false
",
        )
        .unwrap();
        let expected = Filters {
            included_namespaces: vec!["shop".to_owned(), "web-*".to_owned()],
            excluded_resources: vec!["events".to_owned()],
            include_cluster_resources: Some(false),
            label_selector: Some(LabelSelector::parse("app=web").unwrap()),
            ordered_resources: parse_ordered_resources("pods=shop/a,shop/b").unwrap(),
            ..Filters::default()
        };
        assert_eq!(backup, VeleroBackup { filters: expected, ttl: Some("720h0m0s".to_owned()), notes: Vec::new() });
    }

    #[test]
    fn what_is_not_done_is_told() {
        let backup = VeleroBackup::parse(
            "apiVersion: velero.io/v1
kind: Backup
spec:
  hooks: {resources: [{name: dump}]}
  snapshotVolumes: true
  storageLocation: default
  resourcePolicy: {kind: configmap, name: skip}
",
        )
        .unwrap();
        assert_eq!(backup.filters, Filters::default());
        let told: Vec<_> = backup.notes.iter().filter_map(|note| note.split_once(" of the Velero backup: ")).collect();
        assert_eq!(
            told,
            [
                ("hooks", "no hooks are run"),
                ("snapshotVolumes, snapshotMoveData, defaultVolumesToFsBackup", "no data of volumes is taken"),
                ("resourcePolicy", "no policies are applied"),
                ("storageLocation, volumeSnapshotLocations", "the repository is the one of --repo"),
            ]
        );
    }

    #[test]
    fn a_manifest_of_something_else_and_a_misspelt_filter_are_refused() {
        let rows = [
            ("apiVersion: velero.io/v1\nkind: Restore", "Restore"),
            ("apiVersion: v1\nkind: Backup", "velero.io/v1"),
            ("apiVersion: velero.io/v1\nkind: Backup\nspec: {includeNamespaces: [a]}", "includeNamespaces"),
            ("apiVersion: velero.io/v1\nkind: Backup\nspec: {includedNamespaces: ['*', a]}", "`*` alone"),
            ("[", "no Velero backup"),
        ];
        for (text, expected) in rows {
            let error = VeleroBackup::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn ordered_resources_are_written_as_in_velero() {
        let ordered = parse_ordered_resources("pods=ns1/p1,ns1/p2;persistentvolumes=pv4").unwrap();
        assert_eq!(ordered["pods"], ["ns1/p1", "ns1/p2"]);
        assert_eq!(ordered["persistentvolumes"], ["pv4"]);
        assert!(parse_ordered_resources("pods").is_err());
    }
}
