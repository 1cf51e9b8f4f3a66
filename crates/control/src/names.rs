//! Names for machines whose owner did not choose one: `<word>-<word>-<4 digits>`.

const FIRST: [&str; 32] = [
    "quiet", "warm", "still", "dusky", "mossy", "hazel", "amber", "soft", "sleepy", "nutty",
    "autumn", "winter", "misty", "golden", "hidden", "calm", "drowsy", "silver", "russet", "snug",
    "velvet", "cosy", "dreamy", "gentle", "lunar", "mellow", "placid", "shady", "tawny", "tender",
    "thick", "woolly",
];

const SECOND: [&str; 32] = [
    "nest", "burrow", "acorn", "bramble", "hedge", "meadow", "oak", "fern", "moon", "night",
    "hollow", "thicket", "beech", "walnut", "clover", "heath", "ivy", "leaf", "moss", "pine",
    "reed", "root", "thorn", "willow", "winter", "wood", "brook", "glade", "grove", "orchard",
    "pasture", "valley",
];

/// The name made from 24 random bits and more.
pub(crate) fn draw(chance: [u8; 4]) -> String {
    let first = FIRST[usize::from(chance[0]) % FIRST.len()];
    let second = SECOND[usize::from(chance[1]) % SECOND.len()];
    let number = u16::from_le_bytes([chance[2], chance[3]]) % 10_000;
    format!("{first}-{second}-{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_name_has_two_words_and_four_digits() {
        assert_eq!(draw([0, 0, 7, 0]), "quiet-nest-0007");
        assert_eq!(draw([255, 255, 255, 255]), "woolly-valley-5535");
    }
}
