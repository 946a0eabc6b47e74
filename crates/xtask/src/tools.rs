//! What must be on the machine, and the programs that are installed into a cache folder for tests and comparisons.
//!
//! Each installed program is asked for its version, so an old one is replaced and a present one costs nothing. Nothing is
//! installed outside the cache folder, except Debian packages for the comparison, and those only as root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{command, create_dir, output, read, show_and_run};

const VERSITYGW: GoTool =
    GoTool { name: "versitygw", package: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" };
const RESTIC: GoTool = GoTool { name: "restic", package: "github.com/restic/restic/cmd/restic", version: "v0.19.1" };
const AZURITE_VERSION: &str = "3.37.0";
const RUSTIC_VERSION: &str = "0.11.4";

/// What the test cluster consists of. A folder of this project pins every module that goes into it.
const KUBERNETES: GoModule = GoModule {
    folder: "crates/testkit/kubernetes",
    version: "v1.36.3",
    linker_flags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                   -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
};
const ETCD: GoModule = GoModule {
    folder: "crates/testkit/etcd",
    version: "v3.6.16",
    linker_flags: "-s -w",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
};

struct GoTool {
    name: &'static str,
    package: &'static str,
    version: &'static str,
}

/// Programs that only build inside a module that names the versions of all that they depend on.
struct GoModule {
    /// From the root of the workspace.
    folder: &'static str,
    version: &'static str,
    linker_flags: &'static str,
    /// Names and packages.
    programs: &'static [(&'static str, &'static str)],
}

/// The folder that tests, comparisons and data sets share. The test kit finds its servers there too.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("BACKSTAY_TEST_TOOLS") {
        return Ok(dir.into());
    }
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => return Err("neither BACKSTAY_TEST_TOOLS nor HOME says where test tools may be kept".into()),
    };
    Ok(cache.join("backstay-test"))
}

const GO: (&str, &str, (u32, u32)) = ("Go", "go version", (1, 26));

/// What to ask the user for, if there is no Go that builds the test cluster.
pub(crate) fn missing_go() -> Option<String> {
    let (name, ask, least) = GO;
    missing(name, ask, least)
}

/// Fails naming everything that is missing, in one line.
pub(crate) fn check_prerequisites() -> Result<()> {
    let wanted = [
        ("Rust", "rustc --version", (1, 95)),
        ("rustfmt", "cargo fmt --version", (0, 0)),
        ("clippy", "cargo clippy --version", (0, 0)),
        ("a C compiler", "cc --version", (0, 0)),
        GO,
        ("Node.js", "node --version", (20, 0)),
        ("npm", "npm --version", (0, 0)),
    ];
    let missing: Vec<String> = wanted.into_iter().filter_map(|(name, ask, least)| missing(name, ask, least)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("please install first: {}", missing.join(", "))) }
}

/// Installs what a throw-away cluster consists of: etcd, the API server, controllers, scheduler and kubectl.
pub(crate) fn install_kubernetes() -> Result<()> {
    let cache = cache_dir()?;
    ETCD.install(&cache)?;
    KUBERNETES.install(&cache)
}

/// Installs the servers that tests start: the storage servers and what a cluster consists of.
pub(crate) fn install_test_servers() -> Result<()> {
    let cache = cache_dir()?;
    VERSITYGW.install(&cache)?;
    install_kubernetes()?;

    let azurite = cache.join("azurite");
    let manifest = azurite.join("node_modules/azurite/package.json");
    if !read(&manifest).is_ok_and(|text| text.contains(&format!("\"version\": \"{AZURITE_VERSION}\""))) {
        create_dir(&azurite)?;
        let package = format!("azurite@{AZURITE_VERSION}");
        show_and_run(
            command("npm")
                .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
                .arg(&azurite)
                .arg(package),
        )?;
    }
    Ok(())
}

/// Installs restic and returns its path.
pub(crate) fn install_restic() -> Result<PathBuf> {
    RESTIC.install(&cache_dir()?)
}

/// Installs rustic, without its terminal interface, servers and exporters, and returns its path.
pub(crate) fn install_rustic() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let program = cache.join("bin/rustic");
    if !output(command(&program).arg("--version")).is_ok_and(|text| text.contains(RUSTIC_VERSION)) {
        let target = cache.join("rustic-target");
        let package = format!("rustic-rs@{RUSTIC_VERSION}");
        show_and_run(
            command("cargo")
                .args(["install", "--locked", "--force", "--no-default-features", &package, "--root"])
                .arg(&cache)
                .arg("--target-dir")
                .arg(&target),
        )?;
        crate::command::remove_dir(&target)?;
    }
    Ok(program)
}

/// Finds borg, or installs Debian's.
pub(crate) fn install_borg() -> Result<PathBuf> {
    if output(command("borg").arg("--version")).is_err() {
        apt_install(&["borgbackup"])?;
    }
    Ok("borg".into())
}

/// Makes PostgreSQL's server and pgbench available, for the database of the data set.
pub(crate) fn install_postgresql() -> Result<()> {
    let servers = std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut entries| entries.next().is_some());
    if servers || output(command("initdb").arg("--version")).is_ok() {
        return Ok(());
    }
    apt_install(&["postgresql", "postgresql-contrib"])
}

impl GoTool {
    fn install(&self, cache: &Path) -> Result<PathBuf> {
        let bin = cache.join("bin");
        let program = bin.join(self.name);
        if !is_built(&program, self.version) {
            create_dir(&bin)?;
            println!("into {}:", bin.display());
            show_and_run(
                command("go").arg("install").arg(format!("{}@{}", self.package, self.version)).env("GOBIN", &bin),
            )?;
        }
        Ok(program)
    }
}

impl GoModule {
    fn install(&self, cache: &Path) -> Result<()> {
        let bin = cache.join("bin");
        let missing = || self.programs.iter().filter(|(name, _)| !is_built(&bin.join(name), self.version));
        let names: Vec<&str> = missing().map(|(name, _)| *name).collect();
        if names.is_empty() {
            return Ok(());
        }
        create_dir(&bin)?;
        println!("building {} from source, which happens once and takes minutes:", names.join(", "));
        for (name, package) in missing() {
            let mut build = command("go");
            build.args(["build", "-C", self.folder, "-mod=readonly", "-ldflags", self.linker_flags, "-o"]);
            show_and_run(build.arg(bin.join(name)).arg(package))?;
        }
        Ok(())
    }
}

/// Whether the program is there and was built from this version.
fn is_built(program: &Path, version: &str) -> bool {
    output(command("go").args(["version", "-m"]).arg(program))
        .is_ok_and(|text| text.split_whitespace().any(|word| word == version))
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let root = output(command("id").arg("-u")).is_ok_and(|text| text.trim() == "0");
    let apt = output(command("apt-get").arg("--version")).is_ok();
    if !(root && apt) {
        return Err(format!("please install first: {}", packages.join(", ")));
    }
    let noninteractive = |command: &mut Command| show_and_run(command.env("DEBIAN_FRONTEND", "noninteractive"));
    noninteractive(command("apt-get").args(["update", "-q"]))?;
    noninteractive(command("apt-get").args(["install", "-y", "-q", "--no-install-recommends"]).args(packages))
}

/// What to ask the user for, if the program is not there or is older than `least`.
fn missing(name: &str, ask: &str, least: (u32, u32)) -> Option<String> {
    let wanted = if least == (0, 0) { name.to_owned() } else { format!("{name} {}.{} or newer", least.0, least.1) };
    let mut words = ask.split(' ');
    let answer = output(command(words.next()?).args(words));
    match answer.map(|text| version(&text)) {
        Err(_) => Some(wanted),
        Ok(Some(found)) if found < least => Some(format!("{wanted} (found {}.{})", found.0, found.1)),
        Ok(_) => None,
    }
}

/// The first `major.minor` in a program's answer to `--version`.
fn version(text: &str) -> Option<(u32, u32)> {
    text.split(|character: char| !(character.is_ascii_digit() || character == '.')).find_map(|word| {
        let mut numbers = word.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_is_found_in_what_each_prerequisite_prints() {
        assert_eq!(version("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert_eq!(version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(version("v20.20.2"), Some((20, 20)));
        assert_eq!(version("no version"), None);
    }
}
