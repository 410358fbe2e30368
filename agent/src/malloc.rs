//! One setting of the C library's allocator.

/// Makes all threads share one arena. glibc gives each of them its own, up to eight a core, and
/// keeps what was once used in each: memory that threads which mostly sleep do not need.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
        // SAFETY: mallopt takes two integers and may be called at any time.
        let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        if set == 0 {
            tracing::debug!("allocator does not take M_ARENA_MAX");
        }
    }
}
