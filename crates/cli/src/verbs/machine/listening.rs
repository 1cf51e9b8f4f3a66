//! `dormouse machine listening`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;

pub(super) async fn listening(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let sockets = context.client.listening(&found.app, &found.id).await?;
    context.show(&sockets, |sockets| {
        let rows: Vec<_> =
            sockets.iter().map(|socket| [socket.proto.clone(), socket.address.clone()]).collect();
        output::table(["PROTOCOL", "ADDRESS"], &rows)
    })
}
