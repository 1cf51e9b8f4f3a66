//! Which words there are.

/// A verb, as help tells about it.
#[derive(Clone, Copy, Debug)]
pub struct VerbHelp {
    /// The word.
    pub name: &'static str,
    /// What may follow it, one way a line.
    usage: &'static [&'static str],
    /// What it does, in one line.
    about: &'static str,
    /// What else there is to know, line by line.
    details: &'static [&'static str],
}

const HEAD: &str = "\
dm: what a program says to the host of its machine

usage: dm <verb> [words] [--json]
";

const TAIL: &str = "\
WHEN       +90s, +1h30m; 09:00 (the next, UTC); 2026-11-21T10:00:00Z, any offset
SPAN       90, 90s, 5m, 1h30m, 7d
CONDITION  as in a policy: 'inbox.depth > 0', 'peer.db.state == \"started\"'

--json     answers as they come from the host, one a line; refusals too, on stderr
--         what follows are no options

Exit codes: 0 done; 1 refused, the reason on stderr; 2 wrong usage; 3 the host did not answer.
The same calls go over the unix socket /.fly/api: curl --unix-socket /.fly/api http://x/v1/self";

/// All verbs, as they are shown.
const VERBS: [VerbHelp; 21] = [
    VerbHelp {
        name: "get",
        usage: &["get [KEY]"],
        about: "Show a fact, or all of them",
        details: &["One fact is its value alone; all of them are KEY=VALUE lines."],
    },
    VerbHelp {
        name: "set",
        usage: &["set KEY=VALUE... [--if-revision N]"],
        about: "Write facts, all or none",
        details: &[
            "A VALUE that is JSON is meant so; any other is a text.",
            "Keys that the policy does not declare begin with `scratch.`.",
        ],
    },
    VerbHelp {
        name: "unset",
        usage: &["unset KEY... [--if-revision N]"],
        about: "Remove facts",
        details: &[],
    },
    VerbHelp {
        name: "phase",
        usage: &["phase TEXT"],
        about: "Say what the machine is busy with",
        details: &["Conditions read it as `intent.phase`."],
    },
    VerbHelp {
        name: "done",
        usage: &["done [--no]"],
        about: "Say that its objective is reached, or not yet",
        details: &["Conditions read it as `intent.done`."],
    },
    VerbHelp {
        name: "inbox",
        usage: &["inbox", "inbox --take N [--wait SPAN]"],
        about: "Look at messages, or have them delivered",
        details: &[
            "Lines of number, sender and text. A delivered message comes again after a minute",
            "unless it is acknowledged, and is put aside after the fifth time.",
        ],
    },
    VerbHelp {
        name: "ack",
        usage: &["ack SEQ...", "ack --alarm NAME"],
        about: "Acknowledge messages, or an alarm that is due",
        details: &[],
    },
    VerbHelp {
        name: "post",
        usage: &[
            "post PEER BODY [--id ID] [--wake] [--hops N]",
            "post --self BODY [--id ID] [--wake]",
        ],
        about: "Send a message to a peer, or to itself",
        details: &[
            "BODY `-` is standard input. Posting one ID twice is posting it once. --wake wakes the",
            "receiver without a rule that reads its inbox. --hops: as many as the message had that",
            "is passed on. Prints the number of the message.",
        ],
    },
    VerbHelp {
        name: "peer",
        usage: &["peer NAME", "peer NAME KEY", "peer NAME KEY=VALUE..."],
        about: "Show a machine on the same network, or write its facts",
        details: &["Its policy says in `writers` who may write what."],
    },
    VerbHelp {
        name: "hold",
        usage: &["hold", "hold NAME --for SPAN [--reason TEXT]"],
        about: "Keep the machine awake, or show what does",
        details: &["At most an hour; holding again renews it."],
    },
    VerbHelp { name: "release", usage: &["release NAME"], about: "Let go of a hold", details: &[] },
    VerbHelp {
        name: "alarm",
        usage: &[
            "alarm",
            "alarm NAME --at WHEN",
            "alarm NAME --every SPAN",
            "alarm NAME --cron PATTERN [--tz ZONE]",
        ],
        about: "Wake the machine by the clock, or show what will",
        details: &[
            "PATTERN is minute, hour, day of month, month, day of week. --missed skip, once or all",
            "says what becomes of firings that nobody was there for; once by default.",
        ],
    },
    VerbHelp { name: "unalarm", usage: &["unalarm NAME"], about: "Remove an alarm", details: &[] },
    VerbHelp {
        name: "beat",
        usage: &["beat"],
        about: "Say that the program is alive; peers read it as `age_s`",
        details: &[],
    },
    VerbHelp {
        name: "sleep",
        usage: &["sleep [--until CONDITION] [--at WHEN] [--mode MODE] [--note TEXT]"],
        about: "Put the machine to rest, and say what wakes it",
        details: &[
            "MODE is freeze, suspend or stop (default). Returns when the host has written it down;",
            "the rest follows. Whichever of condition and moment comes first wakes the machine.",
        ],
    },
    VerbHelp {
        name: "stop",
        usage: &["stop"],
        about: "Stop the machine until something wakes it",
        details: &[],
    },
    VerbHelp {
        name: "suspend",
        usage: &["suspend"],
        about: "Suspend the machine until something wakes it",
        details: &[],
    },
    VerbHelp {
        name: "why",
        usage: &["why"],
        about: "Say why the machine is awake, and what woke it",
        details: &[],
    },
    VerbHelp {
        name: "wait-notice",
        usage: &["wait-notice [--wait SPAN]"],
        about: "Wait for the notice of a rest",
        details: &[
            "While somebody waits, rests by rules are announced first; a hold put before the deadline",
            "is heard. A line of mode, deadline, vetoes left and cause; none when no notice came.",
        ],
    },
    VerbHelp {
        name: "notices",
        usage: &["notices"],
        about: "Print each notice of a rest, until it is ended",
        details: &[],
    },
    VerbHelp {
        name: "policy",
        usage: &["policy"],
        about: "Show the machine's policy",
        details: &[],
    },
];

impl VerbHelp {
    /// All about it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = usage_lines(self, "usage: dm ", "       dm ");
        text += &format!("\n{}.", self.about);
        for line in self.details {
            text += &format!("\n{line}");
        }
        text
    }
}

fn usage_lines(verb: &VerbHelp, first: &str, next: &str) -> String {
    let heads = std::iter::once(first).chain(std::iter::repeat(next));
    heads.zip(verb.usage).map(|(head, usage)| format!("{head}{usage}\n")).collect()
}

/// The verb of this name.
#[must_use]
pub fn verb(name: &str) -> Option<&'static VerbHelp> {
    VERBS.iter().find(|verb| verb.name == name)
}

/// How a verb is used, in one line.
#[must_use]
pub fn usage(name: &str) -> String {
    let ways = verb(name).map_or(&[][..], |verb| verb.usage);
    ways.iter().map(|way| format!("`dm {way}`")).collect::<Vec<_>>().join(" or ")
}

/// Everything.
#[must_use]
pub fn all() -> String {
    let mut text = format!("{HEAD}\n");
    for verb in &VERBS {
        text += &format!("  {:12} {}\n", verb.name, verb.about);
    }
    text += "  help [VERB]  Say more\n\n";
    text + TAIL
}

#[cfg(test)]
mod tests {
    use super::{VERBS, all};

    const GOLDEN: &str = include_str!("help.txt");

    /// `DORMOUSE_UPDATE_GOLDEN=1` writes the file anew; the change is then seen in review.
    #[test]
    fn help_reads_as_committed() {
        let mut text = format!("$ dm help\n{}\n", all());
        for verb in &VERBS {
            text += &format!("\n$ dm help {}\n{}\n", verb.name, verb.text());
        }
        if std::env::var_os("DORMOUSE_UPDATE_GOLDEN").is_some() {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/help.txt");
            std::fs::write(file, &text).expect("the golden file can be written");
            return;
        }
        let pairs = GOLDEN.lines().zip(text.lines()).enumerate();
        let difference = pairs.into_iter().find(|(_, (golden, now))| golden != now);
        assert_eq!(difference, None, "run with DORMOUSE_UPDATE_GOLDEN=1 if this is meant");
        assert_eq!(GOLDEN.lines().count(), text.lines().count());
    }
}
