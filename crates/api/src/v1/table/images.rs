//! Images: what machines are made from.

use crate::contract::registry_auth::REGISTRY_AUTH_HEADER;
use crate::contract::{
    ImageDetail, ImageInfo, ImportImage, Ok, PruneImages, PrunedImages, PullImage, PullLine,
};
use crate::v1::images;
use crate::v1::operation::{Kind, Operation, Parameter, Right, delete, get, header, post, query};

/// Also for creates and updates of machines, which pull.
pub(super) const REGISTRY_AUTH: Parameter = header(
    REGISTRY_AUTH_HEADER,
    Kind::Text,
    "Credentials for the registry, for this request alone: base64 of a JSON object, as Docker's API \
     has it.",
);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/images", images::list)
            .is("Images_list", "List the images of the host.")
            .answers::<Vec<ImageInfo>>(200),
        post("/v1/images/pull", images::pull::pull)
            .is("Images_pull", "Pull an image, and tell how far it is.")
            .needs(Right::Owner)
            .takes(&[REGISTRY_AUTH])
            .sends::<PullImage>()
            .answers_lines::<PullLine>(200)
            .refuses(&[409, 412, 422, 502, 504]),
        post("/v1/images/import", images::import::import)
            .is("Images_import", "Import an image from a file of the host, or from the body.")
            .needs(Right::Owner)
            .takes(&[query("name", Kind::Text, "Its name, when the body is the archive itself.")])
            .sends::<ImportImage>()
            .may_send_raw("application/x-tar")
            .answers::<ImageInfo>(201)
            .refuses(&[409, 422]),
        post("/v1/images/prune", images::prune)
            .is("Images_prune", "Remove images that nobody needs.")
            .needs(Right::Owner)
            .may_send::<PruneImages>()
            .answers::<PrunedImages>(200),
        get("/v1/images/{digest}", images::show)
            .is("Images_show", "Show an image.")
            .answers::<ImageDetail>(200),
        delete("/v1/images/{digest}", images::remove)
            .is("Images_delete", "Remove an image that no machine needs.")
            .needs(Right::Owner)
            .answers::<Ok>(200)
            .refuses(&[409, 412]),
    ]
}
