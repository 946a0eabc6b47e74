#!/usr/bin/env bash
# Makes the directories that `cargo xtask bench files` backs up. usage: dataset.sh DIR
#   DIR/many  about 21,000 source files (Go module trees, some of them in two versions), 670 MB
#   DIR/pg0   a PostgreSQL data directory, pgbench at scale 40, about 1.1 GB
#   DIR/pg1   the same after 20,000 more transactions: what the next scheduled backup sees
# Each directory is made beside its place and renamed, so an interrupted run leaves nothing half made.
# Needs Go, and PostgreSQL's server and pgbench (Debian: postgresql, postgresql-contrib).
set -euo pipefail
dir=$(mkdir -p "${1:?usage: dataset.sh DIR}" && cd "$1" && pwd)
shopt -s nullglob
for bin in /usr/lib/postgresql/*/bin; do PATH=$bin:$PATH; done

if [ ! -d "$dir/many" ]; then
  work=$(mktemp -d "$dir/.many.XXXXXX")
  (
    cd "$work"
    printf 'module dataset\ngo 1.26.0\n' > go.mod
    GOMODCACHE=$work/mod GOFLAGS=-modcacherw go mod download \
      k8s.io/kubernetes@v1.36.3 k8s.io/api@v0.36.3 k8s.io/client-go@v0.36.3 k8s.io/kubectl@v0.36.3 \
      golang.org/x/tools@v0.47.0 golang.org/x/tools@v0.51.0 golang.org/x/text@v0.41.0 golang.org/x/text@v0.43.0 \
      golang.org/x/sys@v0.40.0 google.golang.org/api@v0.293.0
    mkdir many
    cp -r mod/k8s.io mod/golang.org mod/google.golang.org many
    chmod -R u+w many
  )
  mv "$work/many" "$dir/many"
  rm -rf "$work"
fi

if [ ! -d "$dir/pg1" ]; then
  # PostgreSQL refuses to run as root. The server listens on a socket in its own folder only.
  work=$(mktemp -d)
  as_owner() { "$@" > /dev/null; }
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$work"
    as_owner() { (cd /; setpriv --reuid postgres --regid postgres --init-groups "$@" > /dev/null); }
  fi
  data=$work/data
  start() { as_owner pg_ctl -w -D "$data" -o "-k $work -c listen_addresses=''" -l "$work/log" start; }
  stop() { as_owner pg_ctl -w -D "$data" stop -m fast; }
  trap 'pg_ctl -D "$data" status > /dev/null 2>&1 && stop || true' EXIT
  as_owner initdb -D "$data"
  start
  as_owner createdb -h "$work" bench
  as_owner pgbench -h "$work" -i -s 40 -q bench
  stop
  rm -rf "$dir/.pg0" "$dir/.pg1" "$dir/pg0"
  cp -a "$data" "$dir/.pg0"
  start
  as_owner pgbench -h "$work" -c 4 -t 5000 --random-seed=1 bench
  stop
  cp -a "$data" "$dir/.pg1"
  mv "$dir/.pg0" "$dir/pg0"
  mv "$dir/.pg1" "$dir/pg1"
  rm -rf "$work"
fi
