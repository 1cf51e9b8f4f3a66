//! The host: health, metrics, regions, the doctor, the proxy, use, policies that belong to nobody.

use crate::contract::platform::{FindPlacements, Placements};
use crate::contract::selfhood::Lint;
use crate::contract::shapes::ProxyDescription;
use crate::contract::{Doctor, Ok, Regions, Usage};
use crate::v1::operation::{Kind, Operation, Parameter, Right, get, post, query};
use crate::v1::{description, host, metrics, platform, selfhood};

const APP: Parameter = query("app", Kind::Text, "Only of this app.");

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/healthz", host::healthz)
            .is("Host_health", "Say whether the daemon answers.")
            .needs(Right::Nobody)
            .answers::<Ok>(200),
        get("/metrics", metrics::metrics)
            .is("Host_metrics", "Counters, gauges and latencies in the text format of Prometheus.")
            .answers_raw(200, "text/plain"),
        get("/v1/openapi.json", description::show)
            .is("Host_description", "This description.")
            .needs(Right::Nobody)
            .answers::<serde_json::Map<String, serde_json::Value>>(200),
        get("/v1/platform/regions", platform::regions)
            .is("Platform_regions_get", "List regions: this host is the only one.")
            .needs(Right::Any)
            .answers::<Regions>(200),
        post("/v1/platform/placements", platform::placements)
            .is("Platform_placements_post", "How many machines of a size there is room for.")
            .needs(Right::Any)
            .sends::<FindPlacements>()
            .answers::<Placements>(200)
            .refuses(&[422]),
        get("/v1/doctor", host::doctor)
            .is("Host_doctor", "Say what works on this host, and what to do about the rest.")
            .answers::<Doctor>(200),
        get("/v1/proxy", host::proxy)
            .is("Host_proxy", "Describe what the proxy has open, and who is behind it.")
            .takes(&[APP])
            .answers::<ProxyDescription>(200),
        get("/v1/usage", host::usage)
            .is("Host_usage", "Metered use of the host or an app.")
            .takes(&[APP])
            .answers::<Usage>(200),
        post("/v1/policy/lint", selfhood::lint)
            .is("Policy_lint", "Say what is wrong with a policy, or worth a thought.")
            .needs(Right::Any)
            .sends::<serde_json::Value>()
            .answers::<Lint>(200),
    ]
}
