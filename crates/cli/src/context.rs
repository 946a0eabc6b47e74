//! What every command works with: the options, the repository they name, and a way to tell people something.

use std::io::{self, BufRead, IsTerminal, Write};
use std::num::NonZero;
use std::path::PathBuf;

use anstyle::AnsiColor;
use backstay_format::config::{Config, Secret};
use backstay_repo::store::{ErrorKind, Location, Store, StoreError, StoreOptions};
use backstay_repo::{Cache, OpenOptions, RepoError, Repository, names};

use crate::Result;
use crate::args::Globals;
use crate::failure::{Failure, labelled};
use crate::output::Output;
use crate::progress;
use crate::secret::SecretSources;

/// A place beside the one that `--repo` names.
#[derive(Clone, Copy)]
pub(crate) struct SecondPlace<'a> {
    pub(crate) name: &'a str,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) region: Option<&'a str>,
    /// In front of a variable's name, the variable is for this place alone.
    pub(crate) variables: &'static str,
}

impl SecondPlace<'_> {
    pub(crate) fn location(&self) -> Result<Location> {
        absolute(self.name)
    }
}

/// One run of the program.
pub(crate) struct Context {
    globals: Globals,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals }
    }

    pub(crate) fn output(&self) -> Output {
        Output::new(self.globals.output)
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> Result<Location> {
        absolute(self.globals.repo.as_deref().unwrap_or_default())
    }

    pub(crate) fn store_options(&self) -> StoreOptions {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        StoreOptions {
            environment: std::env::vars_os()
                .filter_map(text)
                .filter(|(name, _)| !name.starts_with("BACKSTAY_"))
                .collect(),
            endpoint: self.globals.endpoint.clone(),
            region: self.globals.region.clone(),
            ca_file: self.globals.ca_file.clone(),
            path_style: self.globals.path_style.then_some(true),
            allow_http: self.globals.allow_http,
            limit_upload_bytes_per_second: self.globals.limit_upload.map(|limit| limit.0),
            limit_download_bytes_per_second: self.globals.limit_download.map(|limit| limit.0),
            max_connections: self.globals.connections.into(),
            ..StoreOptions::default()
        }
    }

    pub(crate) fn second_options(&self, place: &SecondPlace<'_>) -> StoreOptions {
        let mut options = self.store_options();
        for (name, value) in std::env::vars_os() {
            let name = name.to_str().and_then(|name| name.strip_prefix(place.variables));
            if let (Some(name), Some(value)) = (name, value.to_str()) {
                options.environment.insert(name.to_owned(), value.to_owned());
            }
        }
        StoreOptions {
            endpoint: place.endpoint.map(str::to_owned).or(options.endpoint),
            region: place.region.map(str::to_owned).or(options.region),
            ..options
        }
    }

    /// The store at a second place, with what its config says of it; nothing where its folder is not there.
    pub(crate) fn second_store(&self, place: &SecondPlace<'_>) -> Result<Option<Store>> {
        match as_made(&place.location()?, self.second_options(place)) {
            Ok(store) => Ok(Some(store)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Like [`Self::store`], with what the repository's config says of it: for work that does not open the repository.
    pub(crate) fn store_as_made(&self) -> Result<Store> {
        let location = self.location()?;
        Ok(as_made(&location, self.store_options()).map_err(|error| missing(&location, error))?)
    }

    /// The store that holds the repository. A folder that is not there is no repository.
    pub(crate) fn store(&self) -> Result<Store> {
        self.store_with(&self.store_options())
    }

    fn store_with(&self, options: &StoreOptions) -> Result<Store> {
        let location = self.location()?;
        Ok(Store::open(&location, options).map_err(|error| missing(&location, error))?)
    }

    pub(crate) fn secret(&self) -> Result<Secret> {
        self.secret_sources("Password: ", false).read()
    }

    /// For a repository that does not exist yet.
    pub(crate) fn new_secret(&self) -> Result<Secret> {
        self.secret_sources("Password for the new repository: ", true).read()
    }

    fn secret_sources(&self, prompt: &'static str, is_new: bool) -> SecretSources<'_> {
        SecretSources {
            password_file: self.globals.password_file.as_deref(),
            password_command: self.globals.password_command.as_deref(),
            key_file: self.globals.key_file.as_deref(),
            prefix: "",
            variable: "BACKSTAY_PASSWORD",
            prompt,
            is_new,
        }
    }

    pub(crate) fn open(&self) -> Result<Repository> {
        // The store first: nobody wants to type a password for a repository that is not there.
        let store = self.store()?;
        let secret = self.secret()?;
        self.open_with(store, &secret)
    }

    pub(crate) fn open_with(&self, store: Store, secret: &Secret) -> Result<Repository> {
        let repository = Repository::open(store, secret, self.open_options())?;
        if repository.config().store.create_if_absent {
            return Ok(repository);
        }
        // What a store lacks is known only now.
        let store = self.store_with(&StoreOptions { create_if_absent: false, ..self.store_options() })?;
        Ok(Repository::open(store, secret, self.open_options())?)
    }

    pub(crate) fn open_options(&self) -> OpenOptions {
        let memory_bytes = usize::try_from(self.globals.memory.0).unwrap_or(usize::MAX);
        OpenOptions { memory_bytes, ..OpenOptions::new(self.cache()) }
    }

    /// Where this host keeps what may be deleted at any time; nothing with --no-cache.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        if let Cache::Folder(folder) = self.cache() { Some(folder) } else { None }
    }

    fn cache(&self) -> Cache {
        if self.globals.no_cache {
            return Cache::None;
        }
        let folder = || {
            let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            Some(absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("backstay"))
        };
        self.globals.cache_dir.clone().or_else(folder).map_or(Cache::None, Cache::Folder)
    }

    pub(crate) fn shows_progress(&self) -> bool {
        !self.globals.quiet && !self.globals.no_progress
    }

    /// Something worth knowing, on stderr.
    pub(crate) fn note(&self, text: &str) {
        if !self.globals.quiet {
            progress::print_above(&format!("{}\n", crate::output::escape(text)));
        }
    }
}

/// With a folder's path made absolute: messages then name it whatever the current folder was.
fn absolute(location: &str) -> Result<Location> {
    Ok(match location.parse()? {
        Location::Directory(path) => {
            Location::Directory(std::path::absolute(&path).map_err(|error| Failure::io("find", &path, &error))?)
        }
        bucket => bucket,
    })
}

fn missing(location: &Location, error: StoreError) -> RepoError {
    match error.kind() {
        ErrorKind::NotFound => RepoError::NoRepository { location: location.to_string() },
        _ => error.into(),
    }
}

/// A store that may lack what `repo init` found it to lack.
fn as_made(location: &Location, options: StoreOptions) -> std::result::Result<Store, StoreError> {
    let store = Store::open(location, &options)?;
    let lacks = [names::CONFIG, names::CONFIG_COPY].into_iter().any(|name| {
        let config = store.get(name).ok().and_then(|stored| Config::read(&stored).ok());
        config.is_some_and(|config| !config.create_if_absent())
    });
    if lacks { Store::open(location, &StoreOptions { create_if_absent: false, ..options }) } else { Ok(store) }
}

/// Threads for work that keeps a processor busy.
pub(crate) fn threads() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Something that may be wrong, on stderr.
pub(crate) fn warn(text: &str) {
    progress::print_above(&labelled("warning", AnsiColor::Yellow, text));
}

/// Asks before something that exists is changed or deleted. Off a terminal `--yes` has to say it.
pub(crate) fn confirm(question: &str, is_confirmed: bool) -> Result<()> {
    if is_confirmed {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!("{question} needs a confirmation")).with_hint("add --yes to confirm"));
    }
    let mut stderr = io::stderr();
    write!(stderr, "{question}? [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was changed: not confirmed")),
    }
}
