//! The store's operations on an object store: one request each, or a few, repeated by [`Calls`].

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::answer::{noted, noted_upload};
use super::error::{ErrorKind, Failure, Operation, StoreError};
use super::retry::{ANSWER_LIMIT, Calls, transfer_limit};
use super::{Created, ObjectInfo};

/// Names in one request: what S3 takes.
const DELETE_BATCH: usize = 1000;

/// How long an answer is waited for that nothing depends on.
const TRY_LIMIT: Duration = Duration::from_secs(5);

/// How a put treats an object that exists already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Refuse,
    Replace,
}

#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    create_if_absent: bool,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, create_if_absent: bool) -> Self {
        Self { store, create_if_absent }
    }

    pub(super) async fn get(&self, calls: &Calls, name: &str) -> Result<Bytes, StoreError> {
        let attempt = || self.read(calls, name, None);
        calls.run(Operation::Get, name, ANSWER_LIMIT, attempt).await
    }

    pub(super) async fn get_range(&self, calls: &Calls, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let limit = transfer_limit(range.end - range.start);
        let attempt = || self.read(calls, name, Some(range.clone()));
        calls.run(Operation::Get, name, limit, attempt).await
    }

    /// The name proves the bytes, so an object of this name and length is this object.
    pub(super) async fn put(&self, calls: &Calls, name: &str, body: Bytes) -> Result<(), StoreError> {
        let attempt = || async {
            match self.write(calls, Operation::Put, name, body.clone(), self.unless_present()).await {
                Err(failure) if failure.kind == ErrorKind::Conflict => {}
                other => return other,
            }
            let found = match self.look_up(calls, name).await {
                // Refused because of another request for the same name that came to nothing.
                Err(failure) if failure.kind == ErrorKind::NotFound => return Err(not_there_after_all()),
                other => other?,
            };
            if found.size == body.len() as u64 {
                return Ok(());
            }
            let text = format!("it exists with {} bytes instead of {}", found.size, body.len());
            Err(Failure::new(ErrorKind::Corrupt, text))
        };
        calls.run(Operation::Put, name, transfer_limit(body.len() as u64), attempt).await
    }

    /// Tells a lost reply from a lost race: when the name is taken, whose bytes are there?
    pub(super) async fn create(&self, calls: &Calls, name: &str, body: Bytes) -> Result<Created, StoreError> {
        let attempt = || async {
            if !self.create_if_absent {
                match self.look_up(calls, name).await {
                    Ok(_) => return self.whose(calls, name, &body).await,
                    Err(failure) if failure.kind == ErrorKind::NotFound => {}
                    Err(failure) => return Err(failure),
                }
            }
            match self.write(calls, Operation::Create, name, body.clone(), self.unless_present()).await {
                Ok(()) if self.create_if_absent => Ok(Created::New),
                // Another writer may have looked when the name was free too, and put its own after this one.
                Ok(()) => self.whose(calls, name, &body).await,
                Err(failure) if failure.kind == ErrorKind::Conflict => self.whose(calls, name, &body).await,
                Err(failure) => Err(failure),
            }
        };
        calls.run(Operation::Create, name, transfer_limit(body.len() as u64), attempt).await
    }

    pub(super) async fn overwrite(&self, calls: &Calls, name: &str, body: Bytes) -> Result<(), StoreError> {
        let attempt = || self.write(calls, Operation::Overwrite, name, body.clone(), Existing::Replace);
        calls.run(Operation::Overwrite, name, transfer_limit(body.len() as u64), attempt).await
    }

    pub(super) async fn head(&self, calls: &Calls, name: &str) -> Result<ObjectInfo, StoreError> {
        let attempt = || self.look_up(calls, name);
        let meta = calls.run(Operation::Head, name, ANSWER_LIMIT, attempt).await?;
        Ok(ObjectInfo { name: name.to_owned(), ..info(&meta) })
    }

    pub(super) async fn delete(&self, calls: &Calls, name: &str) -> Result<(), StoreError> {
        let attempt = || self.delete_within(calls, name, ANSWER_LIMIT);
        calls.run(Operation::Delete, name, ANSWER_LIMIT, attempt).await
    }

    /// Once, and for a moment only.
    pub(super) async fn try_delete(&self, calls: &Calls, name: &str) -> Result<(), StoreError> {
        let done = self.delete_within(calls, name, TRY_LIMIT).await;
        done.map_err(|failure| calls.error(Operation::Delete, name, failure))
    }

    async fn delete_within(&self, calls: &Calls, name: &str, limit: Duration) -> Result<(), Failure> {
        calls.usage.request(Operation::Delete);
        let path = Path::from(name);
        match calls.within(limit, noted(self.store.delete(&path))).await? {
            Err(failure) if failure.kind == ErrorKind::NotFound && !failure.is_about_bucket() => Ok(()),
            // Azure answers 409 while a retention policy protects the object.
            Err(failure) if failure.kind == ErrorKind::Conflict => Err(failure.with_kind(ErrorKind::Denied)),
            other => other,
        }
    }

    /// Tries all of them once, in bulk where the store can; gives back those of which it is not known that they are gone.
    pub(super) async fn delete_many(&self, calls: &Calls, names: &[String]) -> Vec<String> {
        let mut left: Vec<String> = Vec::new();
        for batch in names.chunks(DELETE_BATCH) {
            calls.usage.request(Operation::Delete);
            let paths: Vec<_> = batch.iter().map(|name| Ok(Path::from(name.as_str()))).collect();
            let mut gone = self.store.delete_stream(futures::stream::iter(paths).boxed());
            let mut done = HashSet::new();
            while let Ok(Some(answer)) = calls.within(transfer_limit(0), gone.next()).await {
                done.extend(answer.ok().map(|path| path.to_string()));
            }
            left.extend(batch.iter().filter(|name| !done.contains(*name)).cloned());
        }
        left
    }

    /// Everything below `folder` whose name is greater than `after`, in no particular order.
    pub(super) async fn list(
        &self,
        calls: &Calls,
        folder: &str,
        after: Option<&str>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let attempt = || async {
            calls.usage.request(Operation::List);
            let folder = (!folder.is_empty()).then(|| Path::from(folder));
            let mut stream = match after {
                Some(after) => self.store.list_with_offset(folder.as_ref(), &Path::from(after)),
                None => self.store.list(folder.as_ref()),
            };
            let mut found = Vec::new();
            while let Some(item) = calls.within(ANSWER_LIMIT, noted(next(&mut stream))).await?? {
                found.push(info(&item));
            }
            Ok(found)
        };
        calls.run(Operation::List, folder, ANSWER_LIMIT, attempt).await
    }

    async fn read(&self, calls: &Calls, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        calls.usage.request(Operation::Get);
        let path = Path::from(name);
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let begun = calls.clock.now();
        let answer = match calls.within(ANSWER_LIMIT, noted(self.store.get_opts(&path, options))).await? {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explain(calls, name, range, failure).await),
        };
        let wanted = range.unwrap_or(0..answer.meta.size);
        if answer.range != wanted {
            return Err(too_short(answer.meta.size, &wanted));
        }
        let size_bytes = wanted.end - wanted.start;
        let mut body = BytesMut::new();
        let mut stream = answer.into_stream();
        let mut throttled = Duration::ZERO;
        while let Some(piece) = calls.within(ANSWER_LIMIT, noted(next(&mut stream))).await?? {
            calls.usage.downloaded(piece.len());
            // Most answers of a local or in-memory store are one piece: nothing to copy then.
            if body.is_empty() && piece.len() as u64 == size_bytes {
                calls.pay(calls.download.as_ref(), piece.len()).await?;
                return Ok(piece);
            }
            if body.capacity() == 0 {
                body.reserve(usize::try_from(size_bytes).map_err(|_| too_short(0, &wanted))?);
            }
            body.extend_from_slice(&piece);
            let before = calls.clock.now();
            calls.pay(calls.download.as_ref(), piece.len()).await?;
            throttled += calls.clock.now().saturating_sub(before);
            if calls.clock.now().saturating_sub(begun + throttled) > transfer_limit(size_bytes) {
                return Err(Failure::unclear(format!("only {} of {size_bytes} bytes arrived in time", body.len())));
            }
        }
        if body.len() as u64 != size_bytes {
            return Err(Failure::unclear(format!("only {} of {size_bytes} bytes arrived", body.len())));
        }
        Ok(body.freeze())
    }

    /// A range beyond the end is answered in many ways; the object's size tells.
    async fn explain(&self, calls: &Calls, name: &str, range: Option<Range<u64>>, failure: Failure) -> Failure {
        let Some(wanted) = range else {
            return failure;
        };
        if matches!(failure.kind, ErrorKind::NotFound | ErrorKind::Denied) {
            return failure;
        }
        match self.look_up(calls, name).await {
            Ok(meta) if meta.size < wanted.end => too_short(meta.size, &wanted),
            _ => failure,
        }
    }

    async fn write(
        &self,
        calls: &Calls,
        operation: Operation,
        name: &str,
        body: Bytes,
        existing: Existing,
    ) -> Result<(), Failure> {
        let size_bytes = body.len();
        calls.pay(calls.upload.as_ref(), size_bytes).await?;
        calls.usage.request(operation);
        let path = Path::from(name);
        let mode = if existing == Existing::Refuse { PutMode::Create } else { PutMode::Overwrite };
        let put = self.store.put_opts(&path, body.clone().into(), PutOptions::from(mode));
        calls.within(transfer_limit(size_bytes as u64), noted_upload(put, body)).await??;
        calls.usage.uploaded(size_bytes);
        Ok(())
    }

    async fn look_up(&self, calls: &Calls, name: &str) -> Result<ObjectMeta, Failure> {
        calls.usage.request(Operation::Head);
        let path = Path::from(name);
        calls.within(ANSWER_LIMIT, noted(self.store.head(&path))).await?
    }

    async fn whose(&self, calls: &Calls, name: &str, body: &Bytes) -> Result<Created, Failure> {
        match self.read(calls, name, None).await {
            Ok(found) if found == body => Ok(Created::New),
            Ok(_) => Ok(Created::Exists),
            Err(failure) if failure.kind == ErrorKind::NotFound => Err(not_there_after_all()),
            Err(failure) => Err(failure),
        }
    }

    fn unless_present(&self) -> Existing {
        if self.create_if_absent { Existing::Refuse } else { Existing::Replace }
    }
}

async fn next<T>(
    stream: &mut (impl StreamExt<Item = object_store::Result<T>> + Unpin),
) -> object_store::Result<Option<T>> {
    stream.next().await.transpose()
}

fn info(meta: &ObjectMeta) -> ObjectInfo {
    ObjectInfo {
        name: meta.location.to_string(),
        size_bytes: meta.size,
        modified_unix_seconds: meta.last_modified.timestamp(),
    }
}

fn too_short(size_bytes: u64, wanted: &Range<u64>) -> Failure {
    let text = format!("it holds {size_bytes} bytes, and bytes {} to {} were asked for", wanted.start, wanted.end);
    Failure::new(ErrorKind::Corrupt, text)
}

fn not_there_after_all() -> Failure {
    Failure::unclear("the store says that it exists, and then that it does not")
}
