//go:build tools

// Package tools pins the database of the API server that tests run. It is a module of its own because it and
// Kubernetes ask for different versions of the same libraries.
package tools

import _ "go.etcd.io/etcd/server/v3"
