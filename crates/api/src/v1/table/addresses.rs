//! Addresses of apps, and volumes, of which there are none.

use crate::contract::addresses::{AddressAssignment, AddressAssignments, AssignAddress};
use crate::contract::volumes::{OrgVolumes, Volume};
use crate::v1::operation::{Operation, Right, delete, get, post, put};
use crate::v1::{addresses, volumes};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/apps/{app}/ip_assignments", addresses::list)
            .is("App_IPAssignments_list", "List the addresses on which the app is reached.")
            .answers::<AddressAssignments>(200),
        post("/v1/apps/{app}/ip_assignments", addresses::assign)
            .is("App_IPAssignments_create", "Ask for an address: all apps share the host's.")
            .sends::<AssignAddress>()
            .answers::<AddressAssignment>(200)
            .refuses(&[422]),
        delete("/v1/apps/{app}/ip_assignments/{ip}", addresses::release)
            .is("App_IPAssignments_delete", "Give an address back; the shared one stays.")
            .answers_nothing(204)
            .refuses(&[422]),
        get("/v1/orgs/{org}/volumes", volumes::list_of_org)
            .is("Volumes_org_list", "List volumes: there are none.")
            .needs(Right::Any)
            .answers::<OrgVolumes>(200),
        get("/v1/apps/{app}/volumes", volumes::list)
            .is("Volumes_list", "List the volumes of an app: there are none.")
            .answers::<Vec<Volume>>(200),
        post("/v1/apps/{app}/volumes", volumes::create)
            .is("Volumes_create", "Create a volume: refused, machines keep their own disk.")
            .answers::<Volume>(200)
            .refuses(&[422]),
        get("/v1/apps/{app}/volumes/{volume}", volumes::read_one)
            .is("Volumes_get_by_id", "Show a volume: there are none.")
            .answers::<Volume>(200),
        put("/v1/apps/{app}/volumes/{volume}", volumes::change_one)
            .is("Volumes_update", "Change a volume: there are none.")
            .answers::<Volume>(200)
            .refuses(&[422]),
        delete("/v1/apps/{app}/volumes/{volume}", volumes::change_one)
            .is("Volume_delete", "Delete a volume: there are none.")
            .answers::<Volume>(200)
            .refuses(&[422]),
    ]
}
