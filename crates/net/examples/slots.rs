//! Slots and taps without the rest of the program: measures take, assign and give back.
//!
//! With the argument `slot` it is the slot helper itself, so it needs no other program; the tests
//! of this crate use it for that. Otherwise: `slots [ROUNDS [PAUSE_MS]]`, run as root.

#![allow(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use model::InstanceTag;
use net::addr::{V4Block, V4Range};
use net::router::{Network, RouterConfig};
use net::slot::{HOLD_ARGUMENT, PoolConfig, hold_main};
use net::{MachineAddrs, NetworkId, Router, SlotPool, instance};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SLOTS: u16 = 8;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == HOLD_ARGUMENT) {
        return Ok(hold_main());
    }
    let number = |nth: usize, default| arguments.get(nth).map_or(Ok(default), |a| a.parse::<u64>());
    let (rounds, pause_ms) = (number(0, 500)?, number(1, 20)?);

    let tag = InstanceTag::from_random(std::process::id());
    let dir = std::env::temp_dir().join(format!("dormouse-slots-{tag}"));
    let entered = instance::enter(&dir)?;
    let measured = measure(&entered, &tag, rounds, Duration::from_millis(pause_ms));
    entered.leave()?;
    instance::destroy(&dir, &tag)?;
    std::fs::remove_dir_all(Path::new(&dir))?;
    measured?;
    Ok(ExitCode::SUCCESS)
}

fn measure(
    instance: &net::InstanceNamespaces,
    tag: &InstanceTag,
    rounds: u64,
    pause: Duration,
) -> Result<(), Box<dyn Error>> {
    let network = NetworkId::from_random(7);
    let block = V4Range::default().blocks().next().ok_or("no block")?;
    let networks = [Network { id: network, blocks: vec![block] }];
    let router = Arc::new(Router::open(instance, tag, &RouterConfig::default(), &networks)?);
    let helper = std::env::current_exe()?;
    let config = PoolConfig { helper, low_watermark: SLOTS, high_watermark: SLOTS };
    let pool = SlotPool::open(instance, router, config)?;

    let begun = Instant::now();
    pool.refill()?;
    println!("made {SLOTS} slots, {:?} each", begun.elapsed() / u32::from(SLOTS));

    let mut starts = Vec::new();
    let mut returns = Vec::new();
    let hosts = block.hosts().cycle();
    for (nth, v4) in (0..rounds).zip(hosts) {
        let [_, _, chance @ ..] = nth.to_be_bytes();
        let addrs = MachineAddrs::draw(network, chance, v4);
        std::thread::sleep(pause);
        let begun = Instant::now();
        let mut slot = pool.take()?;
        pool.assign(&mut slot, &addrs)?;
        starts.push(begun.elapsed());
        let begun = Instant::now();
        pool.give_back(slot)?;
        returns.push(begun.elapsed());
    }
    report("take + assign", starts);
    report("give back", returns);
    measure_taps(&pool, network, block, rounds, pause)?;
    println!("{:?}", pool.stats());
    Ok(())
}

fn measure_taps(
    pool: &SlotPool,
    network: NetworkId,
    block: V4Block,
    rounds: u64,
    pause: Duration,
) -> Result<(), Box<dyn Error>> {
    let mut starts = Vec::new();
    let mut returns = Vec::new();
    for (nth, v4) in (0..rounds).zip(block.hosts().cycle()) {
        let [_, _, chance @ ..] = nth.to_be_bytes();
        let addrs = MachineAddrs::draw(network, chance, v4);
        std::thread::sleep(pause);
        let begun = Instant::now();
        let mut tap = pool.taps().take()?;
        pool.taps().assign(&mut tap, &addrs)?;
        let queue = pool.taps().open_queue(&tap)?;
        starts.push(begun.elapsed());
        drop(queue);
        let begun = Instant::now();
        pool.taps().give_back(tap)?;
        returns.push(begun.elapsed());
    }
    report("take tap + assign + open its queue", starts);
    report("give tap back", returns);
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p99 {:?}, n {}", at(50), at(99), times.len());
}
