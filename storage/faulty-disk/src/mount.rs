//! The disk as the kernel sees it.
//!
//! Nothing is cached by the kernel (no page cache, names and sizes are asked for each time), so that everything a process
//! does passes through here, and nothing survives a crash in a cache.

use std::ffi::OsStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, WriteFlags,
};

use crate::disk::{Disk, Done, verdict};
use crate::faults::{Deed, Effect};

/// How long the kernel may believe what it was told: not at all.
const AT_ONCE: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;

/// The disk, shared by the kernel's requests and the orders.
#[derive(Clone)]
pub(crate) struct Shared(Arc<(Mutex<Disk>, Condvar)>);

impl Shared {
    pub(crate) fn new(disk: Disk) -> Shared {
        Shared(Arc::new((Mutex::new(disk), Condvar::new())))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the delays that are running if there are to be none any more.
    pub(crate) fn wake(&self) {
        self.0.1.notify_all();
    }

    /// Waits, but no longer than there are delays.
    fn linger(&self, delay: Duration) {
        let waited = self
            .0
            .1
            .wait_timeout_while(self.lock(), delay, |disk| disk.faults.delays());
        drop(waited);
    }

    /// Does something that may be delayed, without holding up anything else.
    fn act(&self, deed: Deed, path: &str, then: impl FnOnce(&mut Disk, Done<bool>) + Send + 'static) {
        let mut disk = self.lock();
        let effect = disk.faults.meet(deed, path);
        let Some(Effect::Delay(delay)) = effect else {
            return then(&mut disk, verdict(effect));
        };
        drop(disk);
        let shared = self.clone();
        std::thread::spawn(move || {
            shared.linger(delay);
            let mut disk = shared.lock();
            // The power may have gone meanwhile.
            let lost = disk.faults.is_cut().then_some(Effect::Fail(crate::faults::NO_POWER));
            then(&mut disk, verdict(lost));
        });
    }
}

fn errno(error: i32) -> Errno {
    Errno::from_i32(error)
}

fn attributes(disk: &Disk, number: u64) -> Done<FileAttr> {
    let node = disk.node(number)?;
    let size = node.file.as_ref().map_or(0, |file| file.size() as u64);
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: node.changed,
        mtime: node.changed,
        ctime: node.changed,
        crtime: node.changed,
        kind: if node.file.is_some() {
            FileType::RegularFile
        } else {
            FileType::Directory
        },
        perm: node.mode,
        nlink: if node.file.is_some() { 1 } else { 2 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn empty(reply: ReplyEmpty, done: Done<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

/// What the kernel talks to.
pub(crate) struct Mounted(pub(crate) Shared);

impl Mounted {
    fn sync(&self, number: u64, reply: ReplyEmpty) {
        let path = self.0.lock().path(number);
        self.0.act(Deed::Sync, &path, move |disk, verdict| {
            empty(
                reply,
                verdict.and_then(|really| if really { disk.sync(number) } else { Ok(()) }),
            );
        });
    }

    fn name(&self, path: String, reply: ReplyEmpty, change: impl FnOnce(&mut Disk) -> Done<()> + Send + 'static) {
        self.0.act(Deed::Name, &path, move |disk, verdict| {
            empty(reply, verdict.and_then(|_| change(disk)));
        });
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.0.lock();
        match disk.find(parent.0, name).and_then(|number| attributes(&disk, number)) {
            Ok(attributes) => reply.entry(&AT_ONCE, &attributes, Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&self.0.lock(), ino.0) {
            Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let path = self.0.lock().path(ino.0);
        let change = move |disk: &mut Disk, verdict: Done<bool>| {
            let done = verdict.and_then(|_| {
                if let Some(mode) = mode {
                    disk.set_mode(ino.0, (mode & 0o7777) as u16);
                }
                if let Some(size) = size {
                    disk.set_size(ino.0, size)?;
                }
                attributes(disk, ino.0)
            });
            match done {
                Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
                Err(error) => reply.error(errno(error)),
            }
        };
        if size.is_some() {
            self.0.act(Deed::Write, &path, change);
        } else {
            change(&mut self.0.lock(), Ok(true));
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let (path, name) = (self.0.lock().path_of(parent.0, name), name.to_owned());
        self.0.act(Deed::Name, &path, move |disk, verdict| {
            let made = verdict
                .and_then(|_| disk.make(parent.0, &name, (mode & 0o7777) as u16, true))
                .and_then(|number| attributes(disk, number));
            match made {
                Ok(attributes) => reply.entry(&AT_ONCE, &attributes, Generation(0)),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (path, name) = (self.0.lock().path_of(parent.0, name), name.to_owned());
        self.name(path, reply, move |disk| disk.remove(parent.0, &name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (path, name) = (self.0.lock().path_of(parent.0, name), name.to_owned());
        self.name(path, reply, move |disk| disk.remove(parent.0, &name, true));
    }

    /// Names and files are one here. Whoever would rather have a second name than a copy makes the copy.
    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EOPNOTSUPP);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let path = self.0.lock().path_of(new_parent.0, new_name);
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.name(path, reply, move |disk| {
            if keep && disk.find(new_parent.0, &new_name).is_ok() {
                return Err(crate::disk::EEXIST);
            }
            disk.rename((parent.0, &name), (new_parent.0, &new_name), exchange)
        });
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut disk = self.0.lock();
        match disk.node(ino.0).map(|_| ()) {
            Ok(()) => {
                disk.opened(ino.0);
                reply.opened(FileHandle(ino.0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        let (path, name) = (self.0.lock().path_of(parent.0, name), name.to_owned());
        self.0.act(Deed::Name, &path, move |disk, verdict| {
            let made = verdict
                .and_then(|_| disk.make(parent.0, &name, (mode & 0o7777) as u16, false))
                .and_then(|number| attributes(disk, number));
            match made {
                Ok(attributes) => {
                    disk.opened(attributes.ino.0);
                    let handle = FileHandle(attributes.ino.0);
                    reply.created(
                        &AT_ONCE,
                        &attributes,
                        Generation(0),
                        handle,
                        FopenFlags::FOPEN_DIRECT_IO,
                    );
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let path = self.0.lock().path(ino.0);
        self.0.act(Deed::Read, &path, move |disk, verdict| {
            match verdict.and_then(|_| disk.node(ino.0)) {
                Ok(node) => {
                    let bytes = node.file.as_ref().map_or(&[][..], |file| file.bytes());
                    let begin = (offset as usize).min(bytes.len());
                    let end = (begin + size as usize).min(bytes.len());
                    reply.data(&bytes[begin..end]);
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (path, data) = (self.0.lock().path(ino.0), data.to_vec());
        self.0.act(Deed::Write, &path, move |disk, verdict| {
            match verdict.and_then(|_| disk.write(ino.0, offset, &data)) {
                Ok(()) => reply.written(data.len() as u32),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.lock().closed(ino.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino.0, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino.0, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.0.lock();
        let names = match disk.list(ino.0) {
            Ok(names) => names,
            Err(error) => return reply.error(errno(error)),
        };
        let dots = [(ino.0, true, OsStr::new(".")), (ino.0, true, OsStr::new(".."))];
        for (index, (number, folder, name)) in dots.into_iter().chain(names).enumerate().skip(offset as usize) {
            let kind = if folder {
                FileType::Directory
            } else {
                FileType::RegularFile
            };
            if reply.add(INodeNo(number), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let disk = self.0.lock();
        let block = u64::from(BLOCK);
        let (all, free) = (disk.space() / block, disk.space().saturating_sub(disk.used()) / block);
        reply.statfs(all, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }

    /// Room is not reserved: a file takes what it has.
    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let path = self.0.lock().path(ino.0);
        self.0.act(Deed::Write, &path, move |disk, verdict| {
            let grow = |disk: &mut Disk| match mode {
                0 if offset + length > attributes(disk, ino.0)?.size => disk.set_size(ino.0, offset + length),
                _ => Ok(()),
            };
            empty(reply, verdict.and_then(|_| grow(disk)));
        });
    }
}
