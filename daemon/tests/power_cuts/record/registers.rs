//! Where the arguments of a system call are, and its result.

use nix::libc::user_regs_struct;

/// A call's number and arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub(super) number: i64,
    pub(super) arguments: [u64; 6],
}

#[cfg(target_arch = "x86_64")]
pub(super) fn raw(registers: &user_regs_struct) -> Raw {
    let r = registers;
    Raw { number: r.orig_rax.cast_signed(), arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] }
}

#[cfg(target_arch = "x86_64")]
pub(super) fn result(registers: &user_regs_struct) -> i64 {
    registers.rax.cast_signed()
}

#[cfg(target_arch = "aarch64")]
pub(super) fn raw(registers: &user_regs_struct) -> Raw {
    let [a, b, c, d, e, f, ..] = registers.regs;
    Raw { number: registers.regs[8].cast_signed(), arguments: [a, b, c, d, e, f] }
}

#[cfg(target_arch = "aarch64")]
pub(super) fn result(registers: &user_regs_struct) -> i64 {
    registers.regs[0].cast_signed()
}
