//! A small Zig face of the lsmer library: enough to copy from and to extend.
//!
//! Batches are built and scan pages are read in the caller's memory, so that many records cost one
//! call. A Db may be used by any number of threads. A Batch belongs to one thread at a time.

const std = @import("std");
pub const c = @import("lsmer_h");

pub const Error = error{ Lsmer, OutOfMemory };

/// Prints why a call failed and turns it into an error; news above 0 is passed on.
fn check(rc: c.lsm_rc, err: *const c.lsm_error) Error!c.lsm_rc {
    if (rc >= 0) return rc;
    const message: [*:0]const u8 = @ptrCast(&err.message);
    std.debug.print("{s}: {s}\n", .{ c.lsm_rc_name(rc), message });
    return error.Lsmer;
}

/// The options of a read; `at` may be null, for the newest values.
fn readOptions(at: ?Snapshot) c.lsm_read_opts {
    var options = std.mem.zeroes(c.lsm_read_opts);
    options.struct_size = @sizeOf(c.lsm_read_opts);
    if (at) |snapshot| options.snap = snapshot.handle;
    return options;
}

/// A named, ordered set of keys; `default` needs no opening.
pub const Keyspace = struct {
    handle: ?*c.lsm_ks,
    pub const default: Keyspace = .{ .handle = null };

    /// Gives the handle back; the keyspace stays in the database.
    pub fn release(ks: Keyspace) void {
        c.lsm_ks_release(ks.handle);
    }
};

/// One moment of the database.
pub const Snapshot = struct {
    handle: ?*c.lsm_snapshot,

    /// Lets the database forget the moment.
    pub fn release(snapshot: Snapshot) void {
        c.lsm_snapshot_release(snapshot.handle);
    }
};

/// An open database.
pub const Db = struct {
    handle: ?*c.lsm_db,

    /// Opens the database in the directory, and makes it if it is not there.
    pub fn open(directory: [:0]const u8) Error!Db {
        var db: Db = .{ .handle = null };
        var err: c.lsm_error = undefined;
        _ = try check(c.lsm_open(directory.ptr, null, &db.handle, &err), &err);
        return db;
    }

    /// Ends the use of the database; later calls return an error.
    pub fn close(db: Db) Error!void {
        var err: c.lsm_error = undefined;
        _ = try check(c.lsm_close(db.handle, 0, &err), &err);
    }

    /// Opens a keyspace, and makes it if it is not there.
    pub fn keyspace(db: Db, name: [:0]const u8) Error!Keyspace {
        var ks: Keyspace = .{ .handle = null };
        var err: c.lsm_error = undefined;
        _ = try check(c.lsm_ks_open(db.handle, name.ptr, null, &ks.handle, &err), &err);
        return ks;
    }

    /// Sets the value of a key.
    pub fn put(db: Db, ks: Keyspace, key: []const u8, value: []const u8) Error!void {
        var err: c.lsm_error = undefined;
        const rc = c.lsm_put(db.handle, ks.handle, null, key.ptr, key.len, value.ptr, value.len, &err);
        _ = try check(rc, &err);
    }

    /// The value of a key in `buffer`, or null; a value longer than the buffer is an error.
    pub fn get(db: Db, ks: Keyspace, at: ?Snapshot, key: []const u8, buffer: []u8) Error!?[]u8 {
        const options = readOptions(at);
        var err: c.lsm_error = undefined;
        var bytes: usize = 0;
        const rc = c.lsm_get(db.handle, ks.handle, &options, key.ptr, key.len, buffer.ptr, buffer.len, &bytes, &err);
        return switch (try check(rc, &err)) {
            c.LSM_NOT_FOUND => null,
            c.LSM_BUFFER_SMALL => error.OutOfMemory,
            else => buffer[0..bytes],
        };
    }

    /// Carries out the batch, wholly or not at all.
    pub fn write(db: Db, batch: *const Batch) Error!void {
        var err: c.lsm_error = undefined;
        const packed_ops = batch.bytes.items;
        const rc = c.lsm_write(db.handle, null, packed_ops.ptr, packed_ops.len, null, &err);
        _ = try check(rc, &err);
    }

    /// Takes the present moment.
    pub fn takeSnapshot(db: Db) Error!Snapshot {
        var at: Snapshot = .{ .handle = null };
        var err: c.lsm_error = undefined;
        _ = try check(c.lsm_snapshot_create(db.handle, &at.handle, null, &err), &err);
        return at;
    }

    /// The first page of the keys from `lo` up to, not including, `hi`. `page` must outlive it.
    pub fn scan(db: Db, ks: Keyspace, at: ?Snapshot, lo: []const u8, hi: []const u8, page: []u8) Scan {
        return .{ .db = db, .ks = ks, .at = at, .lo = .{ .start = lo }, .hi = hi, .page = page };
    }
};

/// One key and its value; they hold until the next call of `next`.
pub const Record = struct { key: []const u8, value: []const u8 };

/// A walk in order of keys that fetches a page of records with one call and needs no handle.
pub const Scan = struct {
    db: Db,
    ks: Keyspace,
    at: ?Snapshot,
    hi: []const u8,
    page: []u8,
    lo: union(enum) { start: []const u8, resumed: usize },
    resume_key: [max_key + 1]u8 = undefined,
    used: usize = 0,
    at_byte: usize = 0,
    last_page: bool = false,

    const max_key = 1024;

    /// The next record, or null after the last one.
    pub fn next(scan: *Scan) Error!?Record {
        while (scan.at_byte == scan.used) {
            if (scan.last_page) return null;
            try scan.fetch();
        }
        const rest = scan.page[scan.at_byte..scan.used];
        const klen = std.mem.readInt(u32, rest[0..4], .little);
        const vlen = std.mem.readInt(u32, rest[4..8], .little);
        const key = rest[8..][0..klen];
        scan.at_byte += 8 + klen + vlen;
        if (scan.at_byte == scan.used) try scan.resumeAfter(key);
        return .{ .key = key, .value = rest[8 + klen ..][0..vlen] };
    }

    /// The next page begins at the smallest key after this one.
    fn resumeAfter(scan: *Scan, key: []const u8) Error!void {
        if (key.len > max_key) return error.OutOfMemory;
        @memcpy(scan.resume_key[0..key.len], key);
        scan.resume_key[key.len] = 0;
        scan.lo = .{ .resumed = key.len + 1 };
    }

    fn fetch(scan: *Scan) Error!void {
        const options = readOptions(scan.at);
        const lo = switch (scan.lo) {
            .start => |start| start,
            .resumed => |len| scan.resume_key[0..len],
        };
        var err: c.lsm_error = undefined;
        var used: usize = 0;
        var count: usize = 0;
        const rc = c.lsm_scan(scan.db.handle, scan.ks.handle, &options, lo.ptr, lo.len, scan.hi.ptr, scan.hi.len, 0, 0, scan.page.ptr, scan.page.len, &used, &count, &err);
        const news = try check(rc, &err);
        if (news == c.LSM_BUFFER_SMALL) return error.OutOfMemory;
        scan.used = used;
        scan.last_page = news == c.LSM_END;
        scan.at_byte = 0;
    }
};

/// A list of operations that take effect together. Building it makes no call.
pub const Batch = struct {
    gpa: std.mem.Allocator,
    bytes: std.ArrayList(u8) = .empty,

    /// Gives the memory back.
    pub fn deinit(batch: *Batch) void {
        batch.bytes.deinit(batch.gpa);
    }

    /// Adds an operation that sets a value.
    pub fn put(batch: *Batch, ks: Keyspace, key: []const u8, value: []const u8) Error!void {
        return batch.add(c.LSM_OP_PUT, ks, key, value);
    }

    /// Adds an operation that removes a key.
    pub fn delete(batch: *Batch, ks: Keyspace, key: []const u8) Error!void {
        return batch.add(c.LSM_OP_DELETE, ks, key, "");
    }

    /// u8 operation, u8 flags, u16 0, u32 keyspace, u32 and u32 lengths, key, value.
    fn add(batch: *Batch, op: u8, ks: Keyspace, key: []const u8, value: []const u8) Error!void {
        const id: u32 = c.lsm_ks_id(ks.handle);
        var head: [16]u8 = @splat(0);
        head[0] = op;
        std.mem.writeInt(u32, head[4..8], id, .little);
        std.mem.writeInt(u32, head[8..12], @intCast(key.len), .little);
        std.mem.writeInt(u32, head[12..16], @intCast(value.len), .little);
        try batch.bytes.appendSlice(batch.gpa, &head);
        try batch.bytes.appendSlice(batch.gpa, key);
        try batch.bytes.appendSlice(batch.gpa, value);
    }
};
