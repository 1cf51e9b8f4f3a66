//! From segments of call numbers to a classic BPF program.
//!
//! Jumps of that machine go forward only, and conditional ones at most 255 instructions far. So the
//! program is built from its end: whatever an instruction jumps to exists before it does, and its
//! distance is known. Equal verdicts share one `return` as long as it is near enough.

use super::profile::{Segment, Test, Verdict};
use crate::sys::BpfInstruction;

// Opcodes. Source: `include/uapi/linux/bpf_common.h`.
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// `AUDIT_ARCH_X86_64`.
pub(super) const ARCH_X86_64: u32 = 0xC000_003E;
/// `AUDIT_ARCH_I386`: 32-bit programs, and `int 0x80` in any program.
pub(super) const ARCH_I386: u32 = 0x4000_0003;

/// `SECCOMP_RET_*` values.
pub(super) const RETURN_ALLOW: u32 = 0x7fff_0000;
pub(super) const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const RETURN_ERRNO: u32 = 0x0005_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// A place in the program: the number of instructions behind it.
#[derive(Clone, Copy, Debug)]
struct Place(usize);

/// The program, last instruction first.
#[derive(Debug, Default)]
struct Builder {
    reversed: Vec<BpfInstruction>,
}

/// The program that gives each call the verdict of its segment.
///
/// `segments` are in order and the first starts at zero.
pub(super) fn compile(segments: &[Segment]) -> Vec<BpfInstruction> {
    let mut builder = Builder::default();
    let tree = builder.tree(segments);
    builder.go_to(tree);
    let native = builder.load(OFFSET_NUMBER);
    let other_arch = builder.returning(RETURN_KILL_PROCESS);
    let i386 = builder.returning(RETURN_ERRNO | ENOSYS);
    let not_native = builder.branch(JUMP_EQUAL, ARCH_I386, i386, other_arch);
    builder.branch(JUMP_EQUAL, ARCH_X86_64, native, not_native);
    builder.load(OFFSET_ARCH);
    builder.reversed.reverse();
    builder.reversed
}

impl Builder {
    /// Halves the segments until one is left.
    fn tree(&mut self, segments: &[Segment]) -> Place {
        if let [only] = segments {
            return self.verdict(only.verdict);
        }
        let (lower, upper) = segments.split_at(segments.len() / 2);
        let at_least = self.tree(upper);
        let below = self.tree(lower);
        self.branch(JUMP_AT_LEAST, upper[0].from, at_least, below)
    }

    fn verdict(&mut self, verdict: Verdict) -> Place {
        match verdict {
            Verdict::Allow => self.returning(RETURN_ALLOW),
            Verdict::Errno(errno) => self.returning(RETURN_ERRNO | u32::from(errno)),
            Verdict::Kill => self.returning(RETURN_KILL_PROCESS),
            Verdict::If { argument, passes } => {
                self.test(passes);
                // The low half of a little-endian 64-bit word comes first.
                self.load(OFFSET_ARGUMENTS + 8 * u32::from(argument))
            }
        }
    }

    fn test(&mut self, test: Test) -> Place {
        let allow = self.returning(RETURN_ALLOW);
        let refuse = self.returning(RETURN_ERRNO | EPERM);
        match test {
            Test::LacksBits(mask) => self.branch(JUMP_ANY_BIT, mask, refuse, allow),
            Test::IsAmong(values) => self.any_of(values, allow, refuse),
            Test::Excludes(values) => self.any_of(values, refuse, allow),
        }
    }

    fn any_of(&mut self, values: &[u32], hit: Place, miss: Place) -> Place {
        values.iter().fold(miss, |next, value| self.branch(JUMP_EQUAL, *value, hit, next))
    }

    /// A `return` of `value` near enough for the next instructions.
    fn returning(&mut self, value: u32) -> Place {
        let wanted = BpfInstruction { code: RETURN, jump_true: 0, jump_false: 0, k: value };
        let nearest = self.reversed.iter().rposition(|instruction| *instruction == wanted);
        // A test may follow with up to a dozen instructions between.
        match nearest {
            Some(at) if self.reversed.len() - at < 240 => Place(at),
            _ => self.push(wanted),
        }
    }

    fn load(&mut self, offset: u32) -> Place {
        self.push(BpfInstruction { code: LOAD_WORD, jump_true: 0, jump_false: 0, k: offset })
    }

    /// Jumps to `target` unless that is what follows anyway.
    fn go_to(&mut self, target: Place) -> Place {
        match self.distance(target) {
            0 => target,
            k => self.push(BpfInstruction {
                code: JUMP,
                jump_true: 0,
                jump_false: 0,
                k: u32::try_from(k).expect("programs have at most 4096 instructions"),
            }),
        }
    }

    /// A comparison with `k`; far targets are reached over a jump of their own.
    fn branch(&mut self, code: u16, k: u32, on_true: Place, on_false: Place) -> Place {
        // Making one target near may push the other away by one instruction.
        let on_true = self.brought_near(on_true);
        let on_false = self.brought_near(on_false);
        let jump_true = u8::try_from(self.distance(on_true)).expect("brought near");
        let jump_false = u8::try_from(self.distance(on_false)).expect("brought near");
        self.push(BpfInstruction { code, jump_true, jump_false, k })
    }

    fn brought_near(&mut self, target: Place) -> Place {
        if self.distance(target) < usize::from(u8::MAX) { target } else { self.go_to(target) }
    }

    /// Instructions between the next one to be pushed and `target`.
    fn distance(&self, target: Place) -> usize {
        self.reversed.len() - 1 - target.0
    }

    fn push(&mut self, instruction: BpfInstruction) -> Place {
        self.reversed.push(instruction);
        Place(self.reversed.len() - 1)
    }
}
