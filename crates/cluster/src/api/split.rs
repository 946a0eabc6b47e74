//! A page of a list, cut into its objects without decoding them.
//!
//! An object's bytes are the server's, except that `apiVersion` and `kind` are put in front where the item lacks them: built-in
//! resources leave them to the list. Where an item has them, its bytes are a part of the page and nothing is copied.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::resource::Resource;

/// One object as JSON. Its `Debug` output is its size: it may be a Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RawObject(Bytes);

impl RawObject {
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for RawObject {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RawObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RawObject({} bytes)", self.0.len())
    }
}

/// What a page holds.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) items: Vec<RawObject>,
    pub(super) resource_version: String,
    /// Nothing on the last page.
    pub(super) continue_token: Option<String>,
}

pub(super) fn split(page: &Bytes, resource: &Resource) -> Result<Split, serde_json::Error> {
    let wire: Wire<'_> = serde_json::from_slice(page)?;
    let items = wire.items.unwrap_or_default();
    let prefixes = Prefixes::new(resource)?;
    let mut completed = Vec::new();
    let mut spans = Vec::with_capacity(items.len());
    for item in &items {
        let start = prefixes.missing_of(item)?;
        if start.is_empty() {
            spans.push(None);
            continue;
        }
        if completed.is_empty() {
            // What one item lacks, they all lack.
            completed.reserve_exact(page.len() + items.len() * start.len());
        }
        let (begin, rest) = (completed.len(), &item.get()[1..]);
        completed.extend_from_slice(start.as_bytes());
        if !rest.trim_start().starts_with('}') {
            completed.push(b',');
        }
        completed.extend_from_slice(rest.as_bytes());
        spans.push(Some(begin..completed.len()));
    }
    let completed = Bytes::from(completed);
    let objects = items.iter().zip(spans).map(|(item, span)| {
        RawObject(span.map_or_else(|| page.slice_ref(item.get().as_bytes()), |span| completed.slice(span)))
    });
    Ok(Split {
        items: objects.collect(),
        resource_version: wire.metadata.resource_version,
        continue_token: Some(wire.metadata.continue_token).filter(|token| !token.is_empty()),
    })
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    metadata: ListMetadata,
    /// Must be there: an answer that is no list must not count as an empty one. Null where the server has a nil slice.
    #[serde(borrow, deserialize_with = "items_or_null")]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
}

fn items_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<&'de RawValue>>, D::Error> {
    Option::deserialize(deserializer)
}

/// What an item may lack, opening brace included.
struct Prefixes {
    both: String,
    api_version: String,
    kind: String,
}

impl Prefixes {
    fn new(resource: &Resource) -> Result<Self, serde_json::Error> {
        let text = |name: &str, value: &str| Ok(format!("\"{name}\":{}", serde_json::to_string(value)?));
        let api_version: String = text("apiVersion", &resource.api_version())?;
        let kind = text("kind", &resource.kind)?;
        Ok(Self {
            both: format!("{{{api_version},{kind}"),
            api_version: format!("{{{api_version}"),
            kind: format!("{{{kind}"),
        })
    }

    fn missing_of(&self, item: &RawValue) -> Result<&str, serde_json::Error> {
        let has: TypeKeys = serde_json::from_str(item.get())?;
        Ok(match (has.api_version, has.kind) {
            (true, true) => "",
            (false, true) => &self.api_version,
            (true, false) => &self.kind,
            (false, false) => &self.both,
        })
    }
}

/// Which of the two names are among an object's own.
#[derive(Default)]
struct TypeKeys {
    api_version: bool,
    kind: bool,
}

impl<'de> Deserialize<'de> for TypeKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = TypeKeys;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TypeKeys, A::Error> {
        let mut keys = TypeKeys::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            keys.api_version |= key.0 == "apiVersion";
            keys.kind |= key.0 == "kind";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(keys)
    }
}

/// Borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ResourceName;

    fn resource() -> Resource {
        Resource {
            name: ResourceName::new("widgets", "shop"),
            version: "v1".to_owned(),
            kind: "Widget".to_owned(),
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            served: Vec::new(),
        }
    }

    fn items(page: &str) -> Result<Vec<String>, String> {
        let split = split(&Bytes::copy_from_slice(page.as_bytes()), &resource()).map_err(|error| error.to_string())?;
        Ok(split.items.into_iter().map(|item| String::from_utf8(item.into_bytes().to_vec()).unwrap()).collect())
    }

    #[test]
    fn what_an_item_lacks_is_put_in_front_and_the_rest_stays_as_sent() {
        let table = [
            (
                r#"{"metadata":{"name":"a"} , "x" : 1.0e0}"#,
                r#"{"apiVersion":"shop/v1","kind":"Widget","metadata":{"name":"a"} , "x" : 1.0e0}"#,
            ),
            (r#"{"kind":"Widget","apiVersion":"shop/v1"}"#, r#"{"kind":"Widget","apiVersion":"shop/v1"}"#),
            (
                r#"{"spec":{"kind":"Pod"},"kind":"Other"}"#,
                r#"{"apiVersion":"shop/v1","spec":{"kind":"Pod"},"kind":"Other"}"#,
            ),
            (r#"{"apiVersion":"shop/v2"}"#, r#"{"kind":"Widget","apiVersion":"shop/v2"}"#),
            ("{ }", r#"{"apiVersion":"shop/v1","kind":"Widget" }"#),
            ("{}", r#"{"apiVersion":"shop/v1","kind":"Widget"}"#),
            // The same names, but not the object's own or written otherwise.
            (r#"{"a":"\"kind\":\"x\",}{]["}"#, r#"{"apiVersion":"shop/v1","kind":"Widget","a":"\"kind\":\"x\",}{]["}"#),
            (r#"{"\u006bind":"W","apiVersion":"v"}"#, r#"{"\u006bind":"W","apiVersion":"v"}"#),
            (
                r#"{"big":123456789012345678901234567890.5}"#,
                r#"{"apiVersion":"shop/v1","kind":"Widget","big":123456789012345678901234567890.5}"#,
            ),
        ];
        for (sent, kept) in table {
            assert_eq!(items(&format!(r#"{{"items":[{sent}]}}"#)), Ok(vec![kept.to_owned()]), "{sent}");
        }
        let (sent, kept): (Vec<_>, Vec<_>) = table.iter().map(|(sent, kept)| (*sent, (*kept).to_owned())).unzip();
        assert_eq!(items(&format!(r#"{{"items":[ {} ] }}"#, sent.join(" ,\n"))), Ok(kept));
    }

    #[test]
    fn the_lists_own_fields_are_found_on_either_side_of_the_items() {
        for page in [
            r#"{"kind":"WidgetList","metadata":{"resourceVersion":"7","continue":"t\u002b"},"items":[]}"#,
            r#"{"apiVersion":"shop/v1","items":null,"kind":"WidgetList","metadata":{"continue":"t+","resourceVersion":"7"}}"#,
        ] {
            let split = split(&Bytes::copy_from_slice(page.as_bytes()), &resource()).unwrap();
            assert_eq!((split.items.len(), &split.resource_version[..]), (0, "7"));
            assert_eq!(split.continue_token.as_deref(), Some("t+"));
        }
        let last = split(&Bytes::from_static(br#"{"items":[],"metadata":{"continue":""}}"#), &resource()).unwrap();
        assert_eq!(last.continue_token, None);
    }

    #[test]
    fn what_is_no_list_is_an_error_and_not_an_empty_list() {
        for wrong in [
            "",
            "{}",
            "null",
            "[]",
            r#"{"kind":"Status","metadata":{}}"#,
            r#"{"items":{}}"#,
            r#"{"items":[1]}"#,
            r#"{"items":["{}"]}"#,
            r#"{"items":[[]]}"#,
            r#"{"items":[null]}"#,
            r#"{"items":[{}]"#,
            r#"{"items":[{]}"#,
            r#"{"items":[{}],"items":[]}"#,
            r#"{"items":[{}]}x"#,
            r#"{"items":[{"a":"unfinished}]}"#,
        ] {
            assert!(items(wrong).is_err(), "{wrong}");
        }
        assert!(split(&Bytes::from_static(b"{\"items\":[{\"a\":\"\xff\"}]}"), &resource()).is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let item = format!(r#"{{"kind":"W","apiVersion":"v","a":{deep}}}"#);
        assert_eq!(items(&format!(r#"{{"items":[{item}]}}"#)), Ok(vec![item]));
    }

    #[test]
    fn a_secret_is_not_in_the_debug_output() {
        let object = RawObject(Bytes::from_static(br#"{"data":{"password":"aHVudGVyMg=="}}"#));
        assert_eq!(format!("{object:?}"), "RawObject(36 bytes)");
    }
}
