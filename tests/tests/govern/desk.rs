//! A governed machine, as tests speak to it.

use serde_json::{Value, json};
use testkit::{Instance, Reply, eventually};
use tests::fixture::config;

/// A machine with a policy.
#[derive(Debug)]
pub(crate) struct Governed<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) id: String,
}

/// A stopped machine of the fake engine; `labels` are its knobs.
pub(crate) fn sleeper<'a>(instance: &'a Instance, policy: &Value, labels: &Value) -> Governed<'a> {
    let machine = json!({"image": "fake", "engine": "fake", "policy": policy, "metadata": labels,
        "restart": {"policy": "no"}});
    let id = instance.create_with(&json!({"config": machine, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    Governed { instance, id }
}

/// A running machine of the fake engine.
pub(crate) fn awake<'a>(instance: &'a Instance, policy: &Value) -> Governed<'a> {
    let machine =
        json!({"image": "fake", "engine": "fake", "policy": policy, "restart": {"policy": "no"}});
    let id = instance.create_with(&json!({"config": machine}));
    instance.wait_for(&id, "started");
    Governed { instance, id }
}

/// A running machine from the busybox image that runs `script`, in which there is `dm`.
pub(crate) fn running<'a>(
    instance: &'a Instance,
    name: &str,
    policy: &Value,
    script: &str,
) -> Governed<'a> {
    let config = config(script, &json!({"policy": policy, "restart": {"policy": "no"}}));
    let id = instance.create_with(&json!({"name": name, "config": config}));
    instance.wait_for(&id, "started");
    Governed { instance, id }
}

impl Governed<'_> {
    /// One request about its self; `rest` begins with a slash or is empty.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, rest: &str, body: &Value) -> Reply {
        let target = format!("{}/self{rest}", Instance::path(&self.id));
        self.instance.request_with(method, &target, &[], body)
    }

    /// As it is.
    #[track_caller]
    pub(crate) fn get(&self, rest: &str) -> Value {
        self.ask("GET", rest, &Value::Null).expect(200)
    }

    /// Writes facts as the owner.
    #[track_caller]
    pub(crate) fn know(&self, facts: &Value) {
        drop(self.ask("PATCH", "/memory", facts).expect(200));
    }

    /// The value of a fact.
    #[track_caller]
    pub(crate) fn fact(&self, key: &str) -> Value {
        self.get(&format!("/memory/{key}"))["value"].clone()
    }

    /// Posts a message as the owner; its number.
    #[track_caller]
    pub(crate) fn post(&self, message: &Value) -> u64 {
        let reply = self.ask("POST", "/inbox", message);
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text);
        reply.body["seq"].as_u64().expect("a number")
    }

    /// Sets the policy.
    #[track_caller]
    pub(crate) fn set_policy(&self, policy: &Value) {
        drop(self.ask("PUT", "/policy", policy).expect(200));
    }

    pub(crate) fn state(&self) -> String {
        self.instance.state(&self.id)
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, state: &str) {
        self.instance.wait_for(&self.id, state);
    }

    /// The sentence that says why it is as it is.
    #[track_caller]
    pub(crate) fn sentence(&self) -> String {
        self.get("/explain")["sentence"].as_str().expect("a sentence").to_owned()
    }

    /// Checks that the sentence says `words`.
    #[track_caller]
    pub(crate) fn explains(&self, words: &str) {
        let sentence = self.sentence();
        assert!(sentence.contains(words), "`{sentence}` does not say `{words}`");
    }

    /// What was decided last, as `stance gate`.
    #[track_caller]
    pub(crate) fn decision(&self) -> String {
        let decision = &self.get("")["decision"];
        let word = |key: &str| decision[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("stance"), word("gate")).trim_end().to_owned()
    }

    /// Waits until that was decided.
    #[track_caller]
    pub(crate) fn wait_for_decision(&self, expected: &str) {
        eventually(expected, || (self.decision() == expected).then_some(()));
    }

    /// The entries of its trace, oldest first.
    #[track_caller]
    pub(crate) fn trace(&self) -> Vec<Value> {
        self.get("/trace?limit=1000")["entries"].as_array().expect("a list").clone()
    }

    /// How many lines about changes in its trace are `line`.
    #[track_caller]
    pub(crate) fn traced(&self, line: &str) -> usize {
        let entries = self.trace();
        let lines = entries.iter().filter_map(|entry| entry["changes"].as_array()).flatten();
        lines.filter(|found| *found == line).count()
    }

    /// How often it was woken by its own rules, alarms, messages, words.
    #[track_caller]
    pub(crate) fn governed_wakes(&self) -> u64 {
        self.get("")["usage"]["wakes_last_hour"].as_u64().expect("a number")
    }

    /// Runs a line of shell in it; its output.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.instance.sh(&self.id, script)
    }

    /// Runs a line of shell in it that outlives the call, because it may put the machine to rest.
    #[track_caller]
    pub(crate) fn sh_later(&self, script: &str) {
        let later = "setsid /bin/sh -c \"$0\" >/dev/null 2>&1 </dev/null &";
        let outcome = self.instance.exec(&self.id, &["/bin/sh", "-c", later, script]);
        assert_eq!(outcome["exit_code"], 0, "{script}: {outcome}");
    }

    /// The chain holds, and every decision comes out again as it did.
    #[track_caller]
    pub(crate) fn check_trace(&self) {
        let check = self.get("/trace/verify");
        assert_eq!(check["ok"], true, "{check}");
        let replays = self.get("/trace/replay");
        assert_eq!(replays["ok"], true, "{replays}");
    }
}
