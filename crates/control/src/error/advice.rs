//! The one table of what each error knows besides its text. `docs/errors.md` shows it to users.

use super::of_images::{of_image, of_registry};
use super::{ControlError, StateConflict, is_permanent};
use model::Refused;
use store::StoreError;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's: another request, or another moment, would do.
    Caller,
    /// This host's.
    Host,
    /// That of a server elsewhere, or of the way to it.
    Upstream,
}

/// What an error knows besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice<'a> {
    /// Stable word for programs.
    pub code: &'a str,
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the same request may succeed later without being changed.
    pub is_retryable: bool,
    /// What the caller can do next.
    pub hint: &'a str,
}

const SETTLE: &str = "wait for it with `GET …/wait?state=settled`, then try again";

impl<'a> Advice<'a> {
    pub(super) const fn caller(code: &'a str, hint: &'a str) -> Self {
        Self { code, fault: Fault::Caller, is_retryable: false, hint }
    }

    pub(super) const fn host(code: &'a str, hint: &'a str) -> Self {
        Self { code, fault: Fault::Host, is_retryable: false, hint }
    }

    pub(super) const fn retryable(self) -> Self {
        Self { is_retryable: true, ..self }
    }

    const fn internal() -> Self {
        Self::host("internal", "this is a fault of the daemon; its log has the details")
    }

    const fn disk_full() -> Self {
        let hint = "destroy a machine or remove an image; destroying always works";
        Self::host("disk_full", hint).retryable()
    }
}

impl ControlError {
    /// What it knows besides its text.
    #[must_use]
    pub fn advice(&self) -> Advice<'_> {
        match self {
            _ if self.is_disk_full() => Advice::disk_full(),
            Self::Refused(refused) => of_refusal(refused),
            Self::NotFound { what } => of_missing(what),
            Self::Taken { what: "app", .. } => {
                Advice::caller("name_taken", "choose another name, or use the app that has it")
            }
            Self::Taken { .. } => Advice::caller(
                "name_taken",
                "choose another name, or leave `name` out to have one drawn",
            ),
            Self::Invalid { code, hint, .. } => Advice::caller(code, hint),
            Self::Unfit { code, hint, .. } => Advice::caller(code, hint),
            Self::Vm { .. } => {
                Advice::host("microvm", "`dormouse doctor` says what this host lacks").retryable()
            }
            Self::Sealed { .. } => Advice::host(
                "secrets_unreadable",
                "bring `secrets.key` of the data directory back, or set the secrets anew and update \
                 the machine",
            ),
            Self::Precondition { code, hint, .. } => Advice::caller(code, hint),
            Self::Hostname(refused) => Advice::caller(refused.code(), refused.hint()),
            Self::StaleVersion { .. } => {
                Advice::caller("stale_version", "read the machine again and decide again")
            }
            Self::WaitTimeout { .. } => Advice::caller(
                "wait_timeout",
                "wait again, or look at `GET …/events` for what happened",
            )
            .retryable(),
            Self::StartFailed { code, .. } => of_failed_start(code),
            Self::Self_(refused) => Advice {
                is_retryable: matches!(refused.status(), 412 | 429),
                ..Advice::caller(refused.code(), "`GET …/self` shows what there is")
            },
            Self::SelfRate { .. } => Advice::caller(
                "self_rate",
                "write what has changed, not each step; several facts go into one patch",
            )
            .retryable(),
            Self::Import(_) => {
                Advice::caller("import_invalid", "export it again, and bring it in unchanged")
            }
            Self::SelfUnreadable { .. } => Advice::host(
                "self_unreadable",
                "it was written by a later release, or is damaged; its owner may set a policy \
                     or import a self in its place, and the old one is kept aside",
            ),
            Self::Busy { .. } => Advice::caller(
                "too_many_requests",
                "wait for the answers to earlier requests before sending more",
            )
            .retryable(),
            Self::TooManyStreams { .. } => {
                Advice::caller("too_many_streams", "wait for one of them to end").retryable()
            }
            Self::TooManyFollowers { .. } => {
                Advice::caller("too_many_streams", "leave one of them, or ask now and then")
                    .retryable()
            }
            Self::DiskPressure { .. } => {
                Advice::host("disk_pressure", "free some space: destroy machines or remove images")
                    .retryable()
            }
            Self::ExecTimeout { .. } => Advice::caller(
                "exec_timeout",
                "give a longer `timeout` (at most 60 s), or use `exec/attach`, which has no limit",
            ),
            Self::Store(error) => of_store(error),
            Self::Image(error) => of_image(error),
            Self::Registry(error) => of_registry(error),
            Self::NoWayOut { .. } => Advice::caller(
                "registry_unreachable",
                "the operator opens one with `dormouse up --egress`, or for single registries with \
                 `--allow-registry`",
            ),
            Self::LittleRoom { .. } => {
                Advice::host("disk_pressure", "`dormouse image prune` frees room").retryable()
            }
            Self::Shared(error) => error.advice(),
            Self::Disk(_) => Advice::host("disk", "`dormouse doctor` checks the host").retryable(),
            Self::Net(_) => {
                Advice::host("network", "`dormouse doctor` checks the host").retryable()
            }
            Self::Host { .. } => {
                Advice::host("host", "`dormouse doctor` checks the host").retryable()
            }
            Self::Shim { .. } => Advice::host(
                "machine_unreachable",
                "the machine may just have ended: read its state and try again",
            )
            .retryable(),
            Self::Planted { .. } => Advice::host("planted", "a test ordered it").retryable(),
            Self::UnknownStep { .. } | Self::Bug { .. } => Advice::internal(),
            Self::ShuttingDown => Advice::host(
                "shutting_down",
                "machines keep running; try again when the daemon is back",
            )
            .retryable(),
        }
    }
}

fn of_refusal(refused: &Refused) -> Advice<'static> {
    match refused {
        Refused::Lease(_) => Advice::caller(
            "lease_held",
            "send the holder's nonce in `fly-machine-lease-nonce`, or wait until it expires",
        )
        .retryable(),
        Refused::Capacity(_) => Advice::host(
            "insufficient_capacity",
            "stop a machine, make this one smaller, or raise the overcommit factors",
        )
        .retryable(),
        Refused::DiskPressure { .. } => Advice::host(
            "disk_pressure",
            "destroy machines or remove images; it is thawed by itself when there is room",
        )
        .retryable(),
        Refused::HeldDown { .. } => Advice::caller("held_down", "release the hold-down first"),
        Refused::Denied { .. } => {
            Advice::caller("denied", "the owner may pass `override=1`; it is traced")
        }
        Refused::AutostartOff => {
            Advice::caller("autostart_off", "start the machine with `POST …/start`")
        }
        Refused::KeptAwake { .. } => {
            Advice::caller("kept_awake", "`POST …/stop` stops it all the same").retryable()
        }
        Refused::State { state, asked } => of_conflict(StateConflict::of(state, *asked)),
        Refused::Unsupported { .. } => Advice::caller(
            "unsupported_depth",
            "leave `depth` out, or use `depth=freeze`; `dormouse doctor` lists guarantees",
        ),
        Refused::StaleRun => Advice::caller("stale_run", "read the machine again").retryable(),
    }
}

fn of_conflict(conflict: StateConflict) -> Advice<'static> {
    match conflict {
        StateConflict::StillStarting => Advice::caller("still_starting", SETTLE).retryable(),
        StateConflict::BeingReplaced => Advice::caller("being_replaced", SETTLE).retryable(),
        StateConflict::InTransition => Advice::caller("in_transition", SETTLE).retryable(),
        StateConflict::Passing => Advice::caller("wrong_state", SETTLE).retryable(),
        StateConflict::Lasting => {
            Advice::caller("wrong_state", "`GET …/events` says how it came there")
        }
        StateConflict::NotStopped => {
            Advice::caller("not_stopped", "stop it first, or add `?force=true`")
        }
        StateConflict::NotRunning => {
            Advice::caller("not_running", "start it with `POST …/start` and wait for `started`")
        }
        StateConflict::Gone => of_missing("machine"),
        StateConflict::Report => Advice::internal(),
    }
}

fn of_missing(what: &str) -> Advice<'static> {
    match what {
        "app" => Advice::caller(
            "app_not_found",
            "`GET /v1/apps` lists apps; `POST /v1/apps` creates one",
        ),
        "machine" => Advice::caller(
            "machine_not_found",
            "`GET /v1/apps/{app}/machines` lists the machines of an app",
        ),
        "image" => Advice::caller(
            "image_not_found",
            "`dormouse image list` shows what this host has; `dormouse image import` adds one",
        ),
        "lease" => Advice::caller(
            "lease_not_found",
            "it has expired or was never taken: take one with `POST …/lease`",
        ),
        "secret" => Advice::caller(
            "secret_not_found",
            "`GET /v1/apps/{app}/secrets` lists the secrets of an app",
        ),
        "secret key" => Advice::caller(
            "secret_key_not_found",
            "`GET /v1/apps/{app}/secretkeys` lists the keys of an app",
        ),
        "certificate" => Advice::caller(
            "certificate_not_found",
            "`GET /v1/apps/{app}/certificates` lists the host names of an app",
        ),
        _ => Advice::caller("not_found", "list what there is and check the name"),
    }
}

fn of_failed_start(code: &str) -> Advice<'_> {
    if is_permanent(code) {
        return Advice::caller(
            code,
            "`GET …/events` says more, `GET …/logs` what the program printed; correct \
             `config.init` with an update",
        );
    }
    Advice::host(code, "try again; `GET …/events` says more, and `dormouse doctor` checks the host")
        .retryable()
}

fn of_store(error: &StoreError) -> Advice<'static> {
    match error {
        StoreError::NotFound { .. } => of_missing("record"),
        StoreError::Referenced { .. } => Advice::caller("in_use", "remove what refers to it first"),
        StoreError::Taken { .. } | StoreError::Conflict { .. } | StoreError::PlanActive { .. } => {
            let hint = "somebody else was faster: read again and decide again";
            Advice::caller("conflict", hint).retryable()
        }
        error if error.is_transient() => Advice::host(
            "store_unavailable",
            "nothing was changed; look at the disk below the data directory",
        )
        .retryable(),
        _ => Advice::internal(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ControlError, Fault};
    use model::Refused;

    #[track_caller]
    fn check_start(code: &str, fault: Fault) {
        let error = ControlError::StartFailed { code: code.to_owned(), message: String::new() };
        let is_host = fault == Fault::Host;
        assert_eq!((error.code(), error.fault()), (code, fault));
        assert_eq!(error.is_retryable(), is_host, "{code}");
    }

    #[test]
    fn failed_starts_of_the_host_may_be_tried_again() {
        for code in [
            "disk",
            "disk_in_use",
            "disk_full",
            "launch",
            "deadline",
            "no_slot",
            "socket",
            "namespace",
            "cgroup",
            "shim_lost",
            "timeout",
            "other",
        ] {
            check_start(code, Fault::Host);
        }
    }

    #[test]
    fn failed_starts_of_the_image_fail_again() {
        for code in
            ["empty_argv", "not_found", "not_executable", "unknown_user", "working_dir", "files"]
        {
            check_start(code, Fault::Caller);
        }
    }

    #[test]
    fn a_full_disk_has_one_code_wherever_it_shows() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let of_host = ControlError::host("create", "/x".as_ref(), source);
        for error in [of_host, ControlError::Store(store::StoreError::DiskFull)] {
            assert_eq!((error.code(), error.is_retryable()), ("disk_full", true));
        }
    }

    #[test]
    fn capacity_is_short_for_now() {
        let error = ControlError::Refused(Refused::Capacity(String::new()));
        assert_eq!((error.code(), error.is_retryable()), ("insufficient_capacity", true));
    }
}
