//! Which cluster is meant: kubectl's options.

use std::path::PathBuf;

use backstay_cluster::api::{ConnectOptions, Server};
use clap::Args;

use crate::Result;

#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ConnectionArgs {
    /// Kubeconfig of the cluster [default: KUBECONFIG, ~/.kube/config, or the account of the pod that this runs in]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ConnectionArgs {
    pub(crate) fn connect(&self) -> Result<Server> {
        let (kubeconfig, context) = (self.kubeconfig.clone(), self.context.clone());
        Ok(Server::connect(&ConnectOptions { kubeconfig, context, ..ConnectOptions::default() })?)
    }
}
