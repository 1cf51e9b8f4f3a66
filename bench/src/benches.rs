//! One file for each benchmark, and what they share.

mod api;
mod burst;
mod create;
mod depths;
mod exec;
mod freeze;
mod governor;
mod herd;
mod idle;
mod proxy;
mod pull;
mod start;
mod vm;
mod vm_ram;
mod wake;

use crate::dormouse::Instance;
use crate::host;
use crate::image::Image;
use crate::options::{Bench, Contender, Options};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::words;
use anyhow::Context as _;
use std::rc::Rc;

/// What every benchmark begins with.
struct Setting<'a> {
    options: &'a Options,
    image: Image,
    /// Last, so that it is removed when everything in it has ended.
    scratch: Scratch,
}

/// Runs the benchmark that `options` name.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let scratch = Scratch::new(&options.dir)?;
    let image = Image::make(&scratch)?;
    let setting = Setting { options, image, scratch };
    match options.bench {
        Bench::Start => start::run(&setting),
        Bench::Create => create::run(&setting),
        Bench::Burst => burst::run(&setting),
        Bench::Idle => idle::run(&setting),
        Bench::Exec => exec::run(&setting),
        Bench::Freeze => freeze::run(&setting),
        Bench::Pull => pull::run(&setting),
        Bench::Governor => governor::run(&setting),
        Bench::Wake => wake::run(&setting),
        Bench::Proxy => proxy::run(&setting),
        Bench::Herd => herd::run(&setting),
        Bench::Api => api::run(&setting),
        Bench::Vm => vm::run(&setting),
        Bench::VmRam => vm_ram::run(&setting),
        Bench::Depths => depths::run(&setting),
    }
}

impl Setting<'_> {
    /// An empty report; `what` says what is done.
    fn report(&self, what: &str) -> Report {
        Report {
            bench: self.options.bench.name().to_owned(),
            setting: format!("{what}; {}", host::describe()),
            ..Report::default()
        }
    }

    /// Starts our instance.
    fn instance(&self) -> anyhow::Result<Rc<Instance>> {
        words::tell("starting dormouse");
        Instance::up(&self.scratch, &self.image).map(Rc::new)
    }

    /// Starts one in the directory `name`, with emulated virtual machines, of which so many are kept warm.
    fn instance_with_vms(&self, name: &str, warm: &str) -> anyhow::Result<Rc<Instance>> {
        let kernel = self.options.guest_kernel.as_ref();
        let kernel = kernel.context("virtual machines need a kernel: `--guest-kernel DIR`")?;
        let arguments = [
            format!("--guest-kernel={}", kernel.display()),
            format!("--vms-ready={warm}"),
            "--accel=tcg".to_owned(),
        ];
        let arguments = arguments.each_ref().map(String::as_str);
        Instance::up_with(&self.scratch, &self.image, name, &[], &arguments).map(Rc::new)
    }

    /// Lets somebody take part, or notes why they cannot.
    fn invite<T>(
        &self,
        contender: Contender,
        report: &mut Report,
        make: impl FnOnce() -> anyhow::Result<T>,
    ) -> Option<T> {
        if !self.options.has(contender) {
            return None;
        }
        match make() {
            Ok(made) => Some(made),
            Err(error) => {
                report.notes.push(format!("{contender:?} takes no part: {error:#}"));
                None
            }
        }
    }

    /// Pauses as the options say.
    fn pause(&self) {
        std::thread::sleep(self.options.pause());
    }
}
