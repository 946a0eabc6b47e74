//! Lists in pages, the next one fetched while the caller works on the one before.
//!
//! No resourceVersion is asked for, so that all pages show the one state that the first one fixed. The token that keeps this state
//! expires when the server compacts its history (410): the list then begins anew, once. When it expires again, the list goes on with
//! the token that the server offers instead, whose pages show a later state, and says so.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Server;
use super::error::ApiError;
use super::request::{Call, Query, Transport, object_path};
use super::split::{RawObject, Split, split};
use crate::resource::Resource;

/// Pages of large objects are made smaller, so that memory does not follow the objects' size.
const PAGE_BYTES_WANTED: u64 = 8 << 20;

#[derive(Debug, Clone)]
pub struct ListOptions {
    /// Nothing: of all namespaces.
    pub namespace: Option<String>,
    /// As the server reads it: `app=web,tier in (a,b)`.
    pub label_selector: Option<String>,
    /// Objects in a page, at most.
    pub page_size: u32,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self { namespace: None, label_selector: None, page_size: 500 }
    }
}

/// Some of the objects.
#[derive(Debug)]
pub struct Page {
    /// The list began anew with this page: what came before is void.
    pub restart: bool,
    pub items: Vec<RawObject>,
}

/// What a list was, when it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Of the state that the first page shows, and the others too unless `inconsistent`.
    pub resource_version: String,
    /// Later pages show a later state than the first one.
    pub inconsistent: bool,
    pub restarted: bool,
    /// Bodies, uncompressed.
    pub received_bytes: u64,
}

pub(super) fn list<E: From<ApiError>>(
    server: &Server,
    resource: &Resource,
    options: &ListOptions,
    each: &mut dyn FnMut(Page) -> Result<(), E>,
) -> Result<Listed, E> {
    let mut listed = Listed::default();
    let mut limit = u64::from(options.page_size);
    let mut token: Option<String> = None;
    let mut is_first = true;
    let mut is_restart = false;
    let mut next = Fetch::start(server, resource, options, limit, None)?;
    loop {
        let (split, received_bytes) = match next.wait(server) {
            Ok(page) => page,
            Err(error) if error.code() == Some(410) && token.is_some() => {
                if listed.restarted {
                    let Some(offered) = error.continue_token().map(str::to_owned) else {
                        return Err(error.into());
                    };
                    listed.inconsistent = true;
                    token = Some(offered);
                } else {
                    (listed.restarted, is_restart, is_first, token) = (true, true, true, None);
                }
                tracing::warn!(inconsistent = listed.inconsistent, "a list took too long for the server: {error}");
                next = Fetch::start(server, resource, options, limit, token.as_deref())?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        listed.received_bytes += received_bytes;
        if std::mem::take(&mut is_first) {
            listed.resource_version = split.resource_version;
        }
        if split.continue_token.is_some() && split.continue_token == token {
            let detail = "it says again and again where to go on".to_owned();
            return Err(ApiError::Malformed { request: next.call.to_string(), detail }.into());
        }
        limit = limit_after(u64::from(options.page_size), split.items.len() as u64, received_bytes);
        token = split.continue_token;
        let following = token.as_deref().map(|token| Fetch::start(server, resource, options, limit, Some(token)));
        each(Page { restart: std::mem::take(&mut is_restart), items: split.items })?;
        match following {
            Some(following) => next = following?,
            None => return Ok(listed),
        }
    }
}

/// A page on its way. Given up where it is dropped.
struct Fetch {
    call: Call,
    task: JoinHandle<Result<(Split, u64), ApiError>>,
}

impl Fetch {
    fn start(
        server: &Server,
        resource: &Resource,
        options: &ListOptions,
        limit: u64,
        token: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut query = Query::default();
        query.push("limit", &limit.to_string());
        query.push_unless_empty("labelSelector", options.label_selector.as_deref().unwrap_or_default());
        query.push_unless_empty("continue", token.unwrap_or_default());
        let call = Call::get(object_path(resource, options.namespace.as_deref(), None, None)?, query);
        let (transport, resource) = (Arc::clone(&server.inner.transport), resource.clone());
        let task = server.runtime().spawn({
            let call = call.clone();
            async move { fetch(&transport, &call, &resource).await }
        });
        Ok(Self { call, task })
    }

    fn wait(&mut self, server: &Server) -> Result<(Split, u64), ApiError> {
        let ended = server.wait(&mut self.task);
        ended.unwrap_or_else(|_| Err(ApiError::Interrupted { request: self.call.to_string() }))
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn fetch(transport: &Transport, call: &Call, resource: &Resource) -> Result<(Split, u64), ApiError> {
    let mut is_second = false;
    loop {
        let body = transport.call(call).await?.body;
        match split(&body, resource) {
            Ok(split) => return Ok((split, body.len() as u64)),
            // Where the end of a body is the end of the connection, one that broke looks like a whole one.
            Err(error) if error.is_eof() && !is_second => is_second = true,
            Err(error) => return Err(ApiError::malformed(call, &error)),
        }
    }
}

/// How many objects to ask for after a page of so many.
fn limit_after(wanted: u64, items: u64, received_bytes: u64) -> u64 {
    let size_bytes = received_bytes / items.max(1);
    wanted.min((PAGE_BYTES_WANTED / size_bytes.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_large_objects_are_small() {
        assert_eq!(limit_after(500, 500, 500 * 3000), 500);
        assert_eq!(limit_after(500, 500, 500 << 20), 8);
        assert_eq!(limit_after(500, 1, 100 << 20), 1);
        assert_eq!(limit_after(500, 0, 60), 500);
    }
}
