//! Which way to which registry, and with whose credentials.
//!
//! What the owner asks for is dialled from the host. What a tenant asks for leaves like the traffic
//! of machines, through the router, and only to public addresses; a registry that the operator has
//! named is reached from the host for everybody.

use crate::error::ControlError;
use crate::facade::{ImageAccess, ImageCaller};
use net::Router;
use net::router::Egress;
use registry::{
    AddressPolicy, AllowList, Credentials, Dialer, DockerConfig, HostDialer, NamespaceDialer,
    Reference, Registry, RegistryConfig, RegistryError, Repository, Trust,
};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the operator decides about images.
#[derive(Clone, Debug)]
pub struct ImageSettings {
    /// The only registries that may be used, all from the host; `None` allows every registry.
    pub allowed: Option<AllowList>,
    /// Registries whose certificate is not checked, and that may be spoken to without TLS when they
    /// have none. Loopback always may.
    pub insecure: AllowList,
    /// Whose certificates count.
    pub trust: Trust,
    /// Docker's `config.json` with the owner's credentials.
    pub docker_config: Option<PathBuf>,
    /// Most that images take together before unused ones go, in bytes; `None` is a fifth of the
    /// file system.
    pub budget_bytes: Option<u64>,
}

/// The registries as each caller may reach them.
#[derive(Debug)]
pub(super) struct Registries {
    for_owner: Registry,
    /// `None` when there is no way out.
    for_tenants: Option<Registry>,
    docker_config: Option<PathBuf>,
}

impl Registries {
    pub(super) fn open(
        settings: &ImageSettings,
        egress: Egress,
        router: &Router,
    ) -> Result<Self, ControlError> {
        let config = RegistryConfig {
            allowed: settings.allowed.clone().unwrap_or_else(AllowList::everything),
            insecure: settings.insecure.clone(),
            ..RegistryConfig::new(settings.trust.clone())
        };
        let except = settings.allowed.clone().unwrap_or_default();
        let checked =
            RegistryConfig { addresses: AddressPolicy::Public { except }, ..config.clone() };
        let dialer: Option<Arc<dyn Dialer>> = match (&settings.allowed, egress) {
            (Some(_), _) => Some(Arc::new(HostDialer)),
            (None, Egress::Nat) => Some(Arc::new(way_inside(router)?)),
            (None, Egress::Off) => None,
        };
        Ok(Self {
            for_owner: Registry::new(config, Arc::new(HostDialer)),
            for_tenants: dialer.map(|dialer| Registry::new(checked, dialer)),
            docker_config: settings.docker_config.clone(),
        })
    }

    /// The image of `reference`, as this caller may see it. Asks nobody yet.
    ///
    /// # Errors
    /// [`ControlError::NoWayOut`], [`ControlError::Registry`].
    pub(super) fn repository(
        &self,
        reference: &Reference,
        access: &ImageAccess,
    ) -> Result<Repository, ControlError> {
        let registry = self
            .of(&access.caller)
            .ok_or_else(|| ControlError::NoWayOut { registry: reference.registry().to_string() })?;
        Ok(registry.repository(reference, access.credentials.clone())?)
    }

    /// The same as somebody without credentials sees it.
    pub(super) fn anonymous(
        &self,
        reference: &Reference,
        caller: &ImageCaller,
    ) -> Result<Repository, ControlError> {
        let access = ImageAccess { caller: caller.clone(), credentials: Credentials::Anonymous };
        self.repository(reference, &access)
    }

    /// What the caller shows; an owner who shows nothing shows what the daemon was given.
    ///
    /// # Errors
    /// [`ControlError::Registry`] when the daemon's file cannot be used for this registry.
    pub(super) fn with_credentials(
        &self,
        reference: &Reference,
        access: &ImageAccess,
    ) -> Result<ImageAccess, ControlError> {
        let credentials = match (&access.caller, &access.credentials, &self.docker_config) {
            (ImageCaller::Owner, Credentials::Anonymous, Some(path)) => {
                let config = DockerConfig::parse(&read(path)?).map_err(RegistryError::from)?;
                config.credentials_for(reference).map_err(RegistryError::from)?
            }
            (_, shown, _) => shown.clone(),
        };
        Ok(ImageAccess { caller: access.caller.clone(), credentials })
    }

    fn of(&self, caller: &ImageCaller) -> Option<&Registry> {
        match caller {
            ImageCaller::Owner => Some(&self.for_owner),
            ImageCaller::Tenant { .. } => self.for_tenants.as_ref(),
        }
    }
}

/// The way out of what machines and their owners ask for: from within the router's namespace.
pub(crate) fn way_inside(router: &Router) -> Result<NamespaceDialer, ControlError> {
    let netns = router.netns().try_clone_to_owned();
    netns
        .and_then(NamespaceDialer::enter)
        .map_err(|e| ControlError::host("enter", Path::new("the router's network namespace"), e))
}

/// Reads the file anew each time, so that a login counts at once.
fn read(path: &Path) -> Result<Vec<u8>, ControlError> {
    let mut bytes = Vec::new();
    let max = registry::docker_config::CONFIG_MAX_BYTES + 1;
    File::open(path)
        .and_then(|file| file.take(max).read_to_end(&mut bytes))
        .map_err(|e| ControlError::host("read", path, e))?;
    Ok(bytes)
}
