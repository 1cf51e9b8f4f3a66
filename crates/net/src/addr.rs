//! Addresses of machines: pure arithmetic, no kernel.
//!
//! ```text
//! IPv6  fdaa:NNNN:NNNN:0a7b:RRRR:RRRR:RRRR:0002   N = network, R = drawn once at create; /112
//! IPv4  one /32 from a /24 block that belongs to the machine's network
//! ```
//!
//! The first 48 bits of the IPv6 address say the network, so does the IPv4 block: the router's
//! rules follow from the address alone and never change when a machine starts.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

#[cfg(test)]
mod tests;

/// First 16 bits of every address of a machine.
pub const V6_SITE: u16 = 0xfdaa;
/// Fourth group of every address of a machine; names this kind of host.
pub const V6_HOST_GROUP: u16 = 0x0a7b;
/// Length of a network's IPv6 prefix, in bits: the site and the network.
pub const V6_NETWORK_LEN: u8 = 48;
/// Length of a machine's IPv6 prefix, in bits: all but the last group.
pub const V6_MACHINE_LEN: u8 = 112;
/// Length of an IPv4 block's prefix, in bits.
pub const V4_BLOCK_LEN: u8 = 24;
/// Addresses of a block that a machine may have: `.0` and `.255` confuse some programs.
pub const V4_BLOCK_HOSTS: u8 = 254;

/// A private network: a set of machines that reach each other and nobody else.
///
/// Zero is not a network: the platform's own addresses (`fdaa::…`) lie in its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkId(NonZeroU32);

impl NetworkId {
    /// The network with this number; `None` for zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The network drawn from 32 random bits.
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        Self(NonZeroU32::new(bits).unwrap_or(NonZeroU32::MIN))
    }

    /// The number, never zero.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The network's IPv6 prefix, [`V6_NETWORK_LEN`] bits long.
    #[must_use]
    pub fn v6_prefix(self) -> Ipv6Addr {
        v6(self, 0, [0; 6], 0)
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The addresses of one machine, for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MachineAddrs {
    /// The IPv6 address; the machine owns the /112 around it.
    pub v6: Ipv6Addr,
    /// The IPv4 address, a /32.
    pub v4: Ipv4Addr,
}

impl MachineAddrs {
    /// The addresses of a new machine of `network`, from 48 random bits and a free IPv4 address.
    #[must_use]
    pub fn draw(network: NetworkId, chance: [u8; 6], v4: Ipv4Addr) -> Self {
        Self { v6: v6(network, V6_HOST_GROUP, chance, 2), v4 }
    }

    /// The network that the IPv6 address belongs to; `None` when it is not a machine's address.
    #[must_use]
    pub fn network(&self) -> Option<NetworkId> {
        let [site, high, low, group, ..] = self.v6.segments();
        let number = (u32::from(high) << 16) | u32::from(low);
        NetworkId::new(number).filter(|_| site == V6_SITE && group == V6_HOST_GROUP)
    }
}

fn v6(network: NetworkId, group: u16, middle: [u8; 6], last: u16) -> Ipv6Addr {
    let [n0, n1, n2, n3] = network.get().to_be_bytes();
    let [m0, m1, m2, m3, m4, m5] = middle;
    let pair = |a: u8, b: u8| u16::from_be_bytes([a, b]);
    Ipv6Addr::from([
        V6_SITE,
        pair(n0, n1),
        pair(n2, n3),
        group,
        pair(m0, m1),
        pair(m2, m3),
        pair(m4, m5),
        last,
    ])
}

/// A /24 of IPv4 addresses that belongs to one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ipv4Addr", into = "Ipv4Addr")]
pub struct V4Block(Ipv4Addr);

impl V4Block {
    /// The first address of the block, ending in `.0`.
    #[must_use]
    pub fn base(self) -> Ipv4Addr {
        self.0
    }

    /// The block that `address` lies in.
    #[must_use]
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        Self(Ipv4Addr::new(a, b, c, 0))
    }

    /// The addresses a machine may have, in ascending order.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> + Clone {
        let [a, b, c, _] = self.0.octets();
        (1..=V4_BLOCK_HOSTS).map(move |d| Ipv4Addr::new(a, b, c, d))
    }
}

impl TryFrom<Ipv4Addr> for V4Block {
    type Error = Error;
    fn try_from(base: Ipv4Addr) -> Result<Self> {
        if base.octets()[3] == 0 {
            Ok(Self(base))
        } else {
            Err(Error::Invalid { given: base.to_string(), expected: "the first address of a /24" })
        }
    }
}

impl From<V4Block> for Ipv4Addr {
    fn from(block: V4Block) -> Self {
        block.0
    }
}

/// The IPv4 range of the instance, which networks get their blocks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4Range {
    base: Ipv4Addr,
    len: u8,
}

impl Default for V4Range {
    /// 100.64.0.0/10, which RFC 6598 sets aside for addresses behind a translator: 16,384 blocks.
    fn default() -> Self {
        Self { base: Ipv4Addr::new(100, 64, 0, 0), len: 10 }
    }
}

impl V4Range {
    /// The range `base/len`.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `len` is 8 to 24 and `base` has no bits below it.
    pub fn new(base: Ipv4Addr, len: u8) -> Result<Self> {
        let is_aligned = (8..=V4_BLOCK_LEN).contains(&len)
            && u32::from(base).trailing_zeros() >= u32::from(32 - len);
        if is_aligned {
            Ok(Self { base, len })
        } else {
            Err(Error::Invalid {
                given: format!("{base}/{len}"),
                expected: "an aligned IPv4 range of /8 to /24",
            })
        }
    }

    /// First address and prefix length in bits.
    #[must_use]
    pub fn prefix(self) -> (Ipv4Addr, u8) {
        (self.base, self.len)
    }

    /// All blocks of the range, in ascending order.
    pub fn blocks(self) -> impl Iterator<Item = V4Block> + Clone {
        let count = 1u32 << (V4_BLOCK_LEN - self.len);
        let base = u32::from(self.base);
        (0..count).map(move |nth| V4Block(Ipv4Addr::from(base + (nth << 8))))
    }

    /// The lowest block that no network owns.
    ///
    /// # Errors
    /// [`Error::NoFreeBlock`] when `taken` covers the range.
    pub fn free_block(self, taken: &BTreeSet<V4Block>) -> Result<V4Block> {
        self.blocks().find(|block| !taken.contains(block)).ok_or(Error::NoFreeBlock)
    }
}

/// Every IPv4 address of a network's blocks once, for a new machine to take the first free one.
///
/// The search starts at a place drawn from `chance`, so the address of a destroyed machine is not
/// the next one given away.
pub fn v4_candidates(blocks: &[V4Block], chance: u32) -> impl Iterator<Item = Ipv4Addr> {
    let all = blocks.len().saturating_mul(usize::from(V4_BLOCK_HOSTS));
    let start = usize::try_from(chance).unwrap_or(0).checked_rem(all).unwrap_or(0);
    let hosts = move || blocks.iter().flat_map(|block| block.hosts());
    hosts().skip(start).chain(hosts().take(start))
}
