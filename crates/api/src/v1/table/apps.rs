//! Apps.

use crate::contract::events::MachineEvent;
use crate::contract::host::{AppUsage, CreateDeployToken, DeployToken};
use crate::contract::{App, AppCreated, AppList, CreateApp};
use crate::v1::operation::{Kind, Operation, Parameter, delete, get, header, post, query};
use crate::v1::{apps, events, tokens, usage};

/// What events are narrowed by.
pub(super) const EVENTS: [Parameter; 3] = [
    query("limit", Kind::Count, "How many: 20 by default, at most 50."),
    query("from_event_id", Kind::Text, "A stream: only what happened after this event."),
    header("Last-Event-ID", Kind::Text, "The same, as `EventSource` says it."),
];

/// For whoever accepts it, in place of a list.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/apps", apps::list)
            .is("Apps_list", "List the apps that the caller may see.")
            .takes(&[query("org_slug", Kind::Text, "Only of this organisation.")])
            .answers::<AppList>(200),
        post("/v1/apps", apps::create)
            .is("Apps_create", "Create an app.")
            .sends::<CreateApp>()
            .answers::<AppCreated>(201)
            .refuses(&[422]),
        get("/v1/apps/{app}", apps::show).is("Apps_show", "Show an app.").answers::<App>(200),
        delete("/v1/apps/{app}", apps::remove)
            .is("Apps_delete", "Delete an app.")
            .takes(&[query("force", Kind::Flag, "With its machines.")])
            .answers_nothing(202)
            .refuses(&[409, 412]),
        post("/v1/apps/{app}/deploy_token", tokens::create_for_app)
            .is("App_create_deploy_token", "Make a token that may operate the app alone.")
            .may_send::<CreateDeployToken>()
            .answers::<DeployToken>(200),
        get("/v1/apps/{app}/events", events::of_app)
            .is("Apps_list_events", "What happened to an app's machines; each as it happens, too.")
            .takes(&EVENTS)
            .answers::<Vec<MachineEvent>>(200)
            .answers_raw(200, EVENT_STREAM),
        get("/v1/apps/{app}/usage", usage::of_app)
            .is("Apps_usage", "Metered use of an app, by machine.")
            .takes(&[
                query("since", Kind::Text, "From this moment on; RFC 3339."),
                query("until", Kind::Text, "Until this moment; RFC 3339."),
            ])
            .answers::<AppUsage>(200),
    ]
}
