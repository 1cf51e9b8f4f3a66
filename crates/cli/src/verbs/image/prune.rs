//! `dormouse image prune`.

use super::list::table;
use crate::context::Context;
use crate::output;
use api::contract::PruneImages;
use clap::Args;

/// Which of the images that no machine needs go: all, or those that every given option names.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Keep so many, those used last
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// Only those not used for so long, e.g. `12h` or `7d`
    #[arg(long, value_name = "AGE", value_parser = seconds)]
    older_than: Option<u64>,
    /// Only until all images take no more than this, e.g. `500MB` or `10GiB`
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_size: Option<u64>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn prune(context: &Context, args: &PruneArgs) -> anyhow::Result<()> {
    let wish = PruneImages {
        keep: args.keep,
        older_than_s: args.older_than,
        max_bytes: args.max_size,
        dry_run: args.dry_run,
    };
    let pruned = context.client.prune_images(&wish).await?;
    context.show(&pruned, |pruned| {
        let freed = output::bytes(pruned.freed_bytes);
        let verb = if pruned.dry_run { "would free" } else { "freed" };
        match pruned.removed.as_slice() {
            [] => "no image is without use".to_owned(),
            removed => format!("{}\n\n{verb} {freed}", table(removed)),
        }
    })
}

fn seconds(text: &str) -> Result<u64, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];
    number_with_unit(text, &units).ok_or_else(|| "expected e.g. `90m`, `12h` or `7d`".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    let units = [
        ("B", 1),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    number_with_unit(text, &units).ok_or_else(|| "expected e.g. `500MB` or `10GiB`".to_owned())
}

/// A whole number and its unit, which may be written in any case.
fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::{bytes, seconds};

    #[test]
    fn ages_and_sizes_have_units() {
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("90m"), Ok(5400));
        assert_eq!(bytes("10GB"), Ok(10_000_000_000));
        assert_eq!(bytes("10 gib"), Ok(10 << 30));
        assert_eq!(bytes("0B"), Ok(0));
        for wrong in ["", "7", "d", "-7d", "1.5h", "7y", "99999999999999999999s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!(bytes("99999999999TB").is_err() && bytes("10").is_err());
    }
}
