//go:build tools

// Package tools pins the Kubernetes programs that tests run. The module replaces every staging module because
// Kubernetes itself refers to them by folders that only its own repository has.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
