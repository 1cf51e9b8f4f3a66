//! Addresses, blocks and ranges.

use super::*;
use proptest::prelude::*;

fn network(number: u32) -> NetworkId {
    NetworkId::new(number).expect("not zero")
}

#[test]
fn an_address_spells_its_network_and_its_random_bits() {
    let addrs = MachineAddrs::draw(
        network(0x1234_5678),
        [0xa, 0xb, 0xc, 0xd, 0xe, 0xf],
        Ipv4Addr::new(100, 64, 0, 1),
    );
    assert_eq!(addrs.v6.to_string(), "fdaa:1234:5678:a7b:a0b:c0d:e0f:2");
    assert_eq!(network(0x1234_5678).v6_prefix().to_string(), "fdaa:1234:5678::");
}

#[test]
fn zero_is_not_a_network() {
    assert_eq!(NetworkId::new(0), None);
    assert_eq!(NetworkId::from_random(0).get(), 1);
    let platform = MachineAddrs {
        v6: "fdaa:0:0:a7b::2".parse().expect("an address"),
        v4: Ipv4Addr::UNSPECIFIED,
    };
    assert_eq!(platform.network(), None);
}

#[test]
fn ranges_must_be_aligned_and_hold_a_block() {
    let check = |base: [u8; 4], len, is_good| {
        assert_eq!(V4Range::new(base.into(), len).is_ok(), is_good, "{base:?}/{len}");
    };
    check([100, 64, 0, 0], 10, true);
    check([10, 0, 0, 0], 8, true);
    check([10, 1, 2, 0], 24, true);
    check([10, 1, 2, 0], 23, true);
    check([10, 1, 3, 0], 23, false);
    check([10, 1, 2, 4], 24, false);
    check([10, 1, 2, 0], 25, false);
    check([0, 0, 0, 0], 0, false);
}

#[test]
fn the_default_range_has_16384_blocks() {
    let range = V4Range::default();
    assert_eq!(range.blocks().count(), 16_384);
    assert_eq!(range.blocks().last().expect("blocks").base(), Ipv4Addr::new(100, 127, 255, 0));
}

#[test]
fn a_full_range_refuses_another_block() {
    let range = V4Range::new(Ipv4Addr::new(10, 1, 2, 0), 24).expect("aligned");
    let block = range.free_block(&BTreeSet::new()).expect("free");
    assert!(matches!(range.free_block(&BTreeSet::from([block])), Err(Error::NoFreeBlock)));
}

proptest! {
    #[test]
    fn the_network_can_be_read_back(number in 1u32.., chance: [u8; 6], v4: u32) {
        let addrs = MachineAddrs::draw(network(number), chance, v4.into());
        prop_assert_eq!(addrs.network(), Some(network(number)));
        let prefix = u128::from(network(number).v6_prefix());
        prop_assert_eq!(u128::from(addrs.v6) >> (128 - u32::from(V6_NETWORK_LEN)),
            prefix >> (128 - u32::from(V6_NETWORK_LEN)));
    }

    #[test]
    fn every_address_of_the_blocks_is_a_candidate_once(n_blocks in 0usize..4, chance: u32) {
        let blocks: Vec<_> = V4Range::default().blocks().take(n_blocks).collect();
        let candidates: Vec<_> = v4_candidates(&blocks, chance).collect();
        prop_assert!(candidates.iter().all(|address| blocks.contains(&V4Block::of(*address))));
        let distinct: BTreeSet<_> = candidates.iter().collect();
        prop_assert_eq!(distinct.len(), candidates.len());
        prop_assert_eq!(candidates.len(), n_blocks * usize::from(V4_BLOCK_HOSTS));
    }

    #[test]
    fn blocks_are_given_once(n_taken in 0usize..64) {
        let range = V4Range::new(Ipv4Addr::new(10, 0, 0, 0), 18).expect("aligned");
        let mut taken = BTreeSet::new();
        for _ in 0..n_taken {
            prop_assert!(taken.insert(range.free_block(&taken).expect("64 blocks")));
        }
    }
}
