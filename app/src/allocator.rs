//! jemalloc as the allocator of the process.
//!
//! A collector allocates on one thread and frees on another all day; jemalloc keeps that cheap and gives memory back when
//! a burst is over. Its own threads do the giving back, so that an idle collector does it too. Arenas are few: each holds
//! on to some memory, and more of them than busy threads help nobody.

#![allow(unsafe_code)] // to name the static that jemalloc reads its settings from, and to speak to it

#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads at start: a text that ends in a zero byte. `MALLOC_CONF` in the environment overrides it.
// SAFETY: the name and the type (pointer to a C string) are those that jemalloc declares for this symbol.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: Option<&'static std::ffi::c_char> = Some(
    // SAFETY: the bytes live for ever, and a reference to the first is all that C wants.
    unsafe { &*SETTINGS.as_ptr() },
);

static SETTINGS: &std::ffi::CStr =
    c"background_thread:true,max_background_threads:1,narenas:4,dirty_decay_ms:5000,muzzy_decay_ms:0,abort_conf:false";

/// What jemalloc keeps in reserve it gives back when somebody asks for it by `base_sys::memory::give_back`.
pub fn gives_back() {
    base_sys::memory::on_give_back(|| {
        // "arena.4096" is all arenas (MALLCTL_ARENAS_ALL).
        let purge = c"arena.4096.purge";
        // SAFETY: the name ends in a zero byte, and this control takes and gives nothing.
        let failed = unsafe {
            tikv_jemalloc_sys::mallctl(
                purge.as_ptr(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                0,
            )
        };
        if failed != 0 {
            tracing::debug!(error = failed, "jemalloc could not give memory back");
        }
    });
}
