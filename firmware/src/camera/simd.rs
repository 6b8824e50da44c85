//! Proof that libjpeg's SIMD is in this program.
//!
//! `mozjpeg-sys` builds without it where it finds no assembler, and then takes
//! several times as long for a picture. Its own fast DCT, which only the SIMD
//! build has, is named here, so that a program without it cannot be linked:
//! "undefined symbol: jsimd_fdct_islow_…". The build script says the same of
//! nasm, in better words, before anything is built.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
use self::jsimd_fdct_islow_neon as only_with_simd;
/// What is only in a build with SIMD.
#[cfg(target_arch = "x86_64")]
use self::jsimd_fdct_islow_sse2 as only_with_simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the JPEG encoder's SIMD is known for x86_64 and aarch64 alone: see camera/simd.rs");

unsafe extern "C" {
    #[cfg(target_arch = "x86_64")]
    fn jsimd_fdct_islow_sse2(block: *mut i16);
    #[cfg(target_arch = "aarch64")]
    fn jsimd_fdct_islow_neon(block: *mut i16);
}

/// Makes whoever calls this one that cannot be linked without SIMD.
pub(super) fn require() {
    std::hint::black_box(only_with_simd as unsafe extern "C" fn(*mut i16));
}
