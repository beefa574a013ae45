//! Whom a command trusts where TLS is spoken, and who it is to a hub that asks (`listen.tls_client_ca`).

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Code, Failure};
use crate::net::{Identity, IdentityFault, Trust};

/// The files of TLS, as a person names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct Tls {
    /// Certificates (PEM) to trust besides the public ones, where TLS is spoken.
    #[arg(long, env = "BUSWAY_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// A certificate (PEM) to show to a hub that asks for one.
    #[arg(long, env = "BUSWAY_CERT", value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// Its private key (PEM), unless that is in the same file.
    #[arg(long, env = "BUSWAY_KEY", value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
}

impl Tls {
    /// What the environment names, for commands that have no flags of it; and for what `self` leaves out.
    pub(super) fn or_environment(self) -> Self {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Self {
            ca: self.ca.or_else(|| named("BUSWAY_CA")),
            cert: self.cert.or_else(|| named("BUSWAY_CERT")),
            key: self.key.or_else(|| named("BUSWAY_KEY")),
        }
    }

    /// The public authorities and those of `--ca`; and the certificate of `--cert`.
    ///
    /// # Errors
    /// Which flag's file is wrong, and how.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let ca = self.ca.as_deref().map(|path| read("--ca", path)).transpose()?;
        let identity = self.cert.as_deref().map(|cert| self.identity(cert)).transpose()?;
        Trust::public_and_as(ca.as_deref(), identity.as_ref())
            .map_err(|why| wrong("--ca", self.ca.as_deref().unwrap_or(Path::new("")), &why))
    }

    fn identity(&self, cert: &Path) -> Result<Identity, Failure> {
        let key = self.key.as_deref().unwrap_or(cert);
        let (chain, secret) = (read("--cert", cert)?, read("--key", key)?);
        Identity::read(&chain, &secret).map_err(|fault| match fault {
            IdentityFault::Certificate(why) => wrong("--cert", cert, &why),
            IdentityFault::Key(why) => wrong("--key", key, &why),
        })
    }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|cause| wrong(flag, path, &format!("cannot be read: {cause}")))
}

fn wrong(flag: &str, path: &Path, why: &str) -> Failure {
    Failure::new(Code::Usage, format!("{flag}: {} {why}", path.display()))
}
