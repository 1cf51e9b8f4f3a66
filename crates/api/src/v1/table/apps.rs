//! Apps.

use crate::contract::{App, AppCreated, AppList, CreateApp};
use crate::v1::apps;
use crate::v1::operation::{Kind, Operation, delete, get, post, query};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/apps", apps::list)
            .is("Apps_list", "List the apps that the caller may see.")
            .takes(&[query("org_slug", Kind::Text, "Only of this organisation.")])
            .answers::<AppList>(200),
        post("/v1/apps", apps::create)
            .is("Apps_create", "Create an app.")
            .sends::<CreateApp>()
            .answers::<AppCreated>(201),
        get("/v1/apps/{app}", apps::show).is("Apps_show", "Show an app.").answers::<App>(200),
        delete("/v1/apps/{app}", apps::remove)
            .is("Apps_delete", "Delete an app.")
            .takes(&[query("force", Kind::Flag, "With its machines.")])
            .answers_nothing(202),
    ]
}
