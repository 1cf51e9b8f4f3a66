//! Who calls, and what they may.
//!
//! Three ways in, three kinds of identity: the unix socket (peer credentials), TCP (a bearer token)
//! and a machine's own channel. A route asks for a right ([`Need`]); [`Identity::check`] is the one
//! place that says no.

mod header;

use crate::problem::Problem;
use model::{AppName, MachineId};
use policy::Writer;
use store::{TokenReach, TokenRecord, TokenRight};

pub use header::bearer_tokens;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A process of this host that is the owner: root or the daemon's own user.
    Local {
        /// Its user id.
        uid: u32,
    },
    /// The holder of a token.
    Token(Box<TokenRecord>),
    /// A program inside this machine.
    Guest(MachineId),
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To look.
    Read,
    /// To change.
    Operate,
    /// To change a machine in a way that the machine itself may ask for too: stop, suspend, restart,
    /// and to write into its self.
    OperateSelf,
}

/// What a route is about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The host: images, tokens, doctor, lists over all apps.
    Host,
    /// An app.
    App(&'a AppName),
    /// A machine of an app.
    Machine(&'a AppName, &'a MachineId),
}

impl Identity {
    /// The caller's name in events: `local`, the token's name, or the machine.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Local { .. } => "local".to_owned(),
            Self::Token(token) => token.name.clone(),
            Self::Guest(machine) => format!("machine:{machine}"),
        }
    }

    /// The caller's name as holder of a lease.
    #[must_use]
    pub fn lease_owner(&self) -> String {
        match self {
            Self::Local { .. } => "local".to_owned(),
            Self::Token(token) => format!("{}@tokens", token.id),
            Self::Guest(machine) => format!("{machine}@machines"),
        }
    }

    /// Whether it may do anything on this host.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        match self {
            Self::Local { .. } => true,
            Self::Token(token) => {
                token.scope.reach == TokenReach::All && token.scope.right == TokenRight::Operate
            }
            Self::Guest(_) => false,
        }
    }

    /// The caller as somebody who writes into a machine's self.
    ///
    /// # Errors
    /// 403 for a token whose name cannot be one of a writer: tokens of older releases may have one.
    pub fn writer(&self) -> Result<Writer, Problem> {
        match self {
            Self::Guest(_) => Ok(Writer::Machine),
            _ if self.is_owner() => Ok(Writer::Owner),
            Self::Local { .. } => Ok(Writer::Owner),
            Self::Token(token) => format!("token:{}", token.name).parse().map_err(|_no_writer| {
                Problem::forbidden(
                    format!("token `{}` has a name that no writer can have", token.name),
                    "make a token with a name of 1 to 64 plain characters",
                )
            }),
        }
    }

    /// Whether the caller may do what `need` says to `target`.
    ///
    /// # Errors
    /// 403 with what would be needed.
    pub fn check(&self, need: Need, target: Target<'_>) -> Result<(), Problem> {
        match self {
            Self::Local { .. } => Ok(()),
            Self::Token(token) => check_token(token, need, target),
            Self::Guest(own) => check_guest(own, need, target),
        }
    }
}

fn check_token(token: &TokenRecord, need: Need, target: Target<'_>) -> Result<(), Problem> {
    let has_right = match (token.scope.right, need) {
        (TokenRight::Operate, _) | (TokenRight::Read, Need::Read) => true,
        (TokenRight::SelfWrite, Need::Read | Need::OperateSelf) => true,
        (TokenRight::Read, Need::Operate | Need::OperateSelf)
        | (TokenRight::SelfWrite, Need::Operate) => false,
    };
    if !has_right {
        return Err(Problem::forbidden(
            format!("token `{}` may not change it", token.name),
            "use a token with the right `operate`",
        ));
    }
    let reaches = match (&token.scope.reach, target) {
        (TokenReach::All, _) => true,
        (TokenReach::App(own), Target::App(app) | Target::Machine(app, _)) => own == app,
        (TokenReach::Machine(own), Target::Machine(_, machine)) => own == machine,
        (TokenReach::App(_) | TokenReach::Machine(_), _) => false,
    };
    if reaches {
        return Ok(());
    }
    Err(Problem::forbidden(
        format!("token `{}` does not reach it", token.name),
        "use a token whose scope covers it; `GET /v1/tokens/current` shows this one's",
    ))
}

fn check_guest(own: &MachineId, need: Need, target: Target<'_>) -> Result<(), Problem> {
    let is_itself = matches!(target, Target::Machine(_, machine) if machine == own);
    match (is_itself, need) {
        (true, Need::Read | Need::OperateSelf) => Ok(()),
        (true, Need::Operate) => Err(Problem::forbidden(
            "a machine may not do this to itself",
            "a machine may read, stop, suspend and restart itself; its owner does the rest",
        )),
        (false, _) => Err(Problem::forbidden(
            "a machine reaches only itself here",
            "use the API from outside with a token",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Need, Target};
    use model::{AppName, MachineId, UnixMs};
    use store::{TokenReach, TokenRecord, TokenRight, TokenScope};

    fn token(reach: TokenReach, right: TokenRight) -> Identity {
        Identity::Token(Box::new(TokenRecord {
            id: "t1".to_owned(),
            name: "ci".to_owned(),
            hash: String::new(),
            scope: TokenScope { reach, right },
            created_at: UnixMs(0),
            expires_at: None,
            revoked_at: None,
            parent: None,
        }))
    }

    #[track_caller]
    fn check_writer(who: &Identity, expected: &str) {
        assert_eq!(who.writer().map(|writer| writer.to_string()).as_deref(), Ok(expected));
    }

    #[test]
    fn writers_follow_from_who_calls() {
        use TokenRight::{Operate, SelfWrite};
        let machine = || TokenReach::Machine("0123456789abcd".parse().unwrap());
        check_writer(&Identity::Local { uid: 0 }, "owner");
        check_writer(&token(TokenReach::All, Operate), "owner");
        check_writer(&token(TokenReach::All, SelfWrite), "token:ci");
        check_writer(&token(TokenReach::App("own".parse().unwrap()), Operate), "token:ci");
        check_writer(&token(machine(), SelfWrite), "token:ci");
        check_writer(&Identity::Guest("0123456789abcd".parse().unwrap()), "self");
        for name in ["*", "", "a\nb"] {
            let Identity::Token(mut record) = token(machine(), SelfWrite) else { unreachable!() };
            record.name = name.to_owned();
            assert!(Identity::Token(record).writer().is_err(), "{name:?}");
        }
    }

    #[test]
    fn rights_follow_scope_and_need() {
        let (own, other): (AppName, AppName) = ("own".parse().unwrap(), "other".parse().unwrap());
        let m: MachineId = "0123456789abcd".parse().unwrap();
        let n: MachineId = "00000000000000".parse().unwrap();
        let targets = [
            Target::Host,
            Target::App(&own),
            Target::Machine(&own, &m),
            Target::Machine(&own, &n),
            Target::App(&other),
            Target::Machine(&other, &n),
        ];
        let check = |who: Identity, need: Need, expected: [u8; 6]| {
            let got = targets.map(|target| u8::from(who.check(need, target).is_ok()));
            assert_eq!(got, expected, "{who:?} {need:?}");
        };
        use TokenRight::{Operate, Read, SelfWrite};
        check(Identity::Local { uid: 0 }, Need::Operate, [1; 6]);
        check(token(TokenReach::All, Operate), Need::Operate, [1; 6]);
        check(token(TokenReach::All, Read), Need::Read, [1; 6]);
        check(token(TokenReach::All, Read), Need::Operate, [0; 6]);
        let app = || TokenReach::App("own".parse().unwrap());
        check(token(app(), Operate), Need::Operate, [0, 1, 1, 1, 0, 0]);
        check(token(app(), Read), Need::Read, [0, 1, 1, 1, 0, 0]);
        let machine = || TokenReach::Machine("0123456789abcd".parse().unwrap());
        check(token(machine(), Operate), Need::Operate, [0, 0, 1, 0, 0, 0]);
        check(token(machine(), SelfWrite), Need::OperateSelf, [0, 0, 1, 0, 0, 0]);
        check(token(machine(), SelfWrite), Need::Operate, [0; 6]);
        let guest = || Identity::Guest("0123456789abcd".parse().unwrap());
        check(guest(), Need::Read, [0, 0, 1, 0, 0, 0]);
        check(guest(), Need::OperateSelf, [0, 0, 1, 0, 0, 0]);
        check(guest(), Need::Operate, [0; 6]);
    }
}
