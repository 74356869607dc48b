//! Uses lsmer from eight threads at once and checks every value that it reads.

const std = @import("std");
const lsmer = @import("lsmer.zig");

const threads = 8;
const keys = 2000;
const page_bytes = 4096;

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    if (args.len != 2) return error.UsageLsmerZigDirectory;
    const db: lsmer.Db = try .open(args[1]);
    const mirror = try db.keyspace("mirror");

    var outcomes: [threads]anyerror!void = @splat(error.DidNotRun);
    var running: [threads]std.Thread = undefined;
    for (&running, &outcomes, 0..) |*thread, *outcome, worker| {
        thread.* = try std.Thread.spawn(.{}, start, .{ db, mirror, @as(u8, @intCast(worker)), outcome });
    }
    for (running) |thread| thread.join();
    for (outcomes) |outcome| try outcome;

    mirror.release();
    try db.close();
    const late = lsmer.c.lsm_put(db.handle, null, null, "late", 4, "", 0, null);
    if (late != lsmer.c.LSM_E_CLOSED) return error.WriteAfterCloseWasNotRefused;
    std.debug.print("{d} threads, {d} keys each, all values as expected\n", .{ threads, keys });
}

fn start(db: lsmer.Db, mirror: lsmer.Keyspace, worker: u8, outcome: *anyerror!void) void {
    outcome.* = work(db, mirror, worker);
}

fn work(db: lsmer.Db, mirror: lsmer.Keyspace, worker: u8) !void {
    try putAndGet(db, worker);
    const before = try db.takeSnapshot();
    defer before.release();
    try writeBatch(db, mirror, worker);

    // The snapshot shows every key with its first value, the present only the even ones.
    try expectScan(db, .default, before, worker, 1, 1);
    try expectScan(db, .default, null, worker, 2, 2);
    try expectScan(db, mirror, null, worker, 2, 2);
    var buffer: [64]u8 = undefined;
    if (try db.get(mirror, before, &keyOf(worker, 0), &buffer) != null) return error.SnapshotMoved;
}

/// Sorts by worker, then by number.
fn keyOf(worker: u8, number: u32) [5]u8 {
    var key = [_]u8{ worker, 0, 0, 0, 0 };
    std.mem.writeInt(u32, key[1..5], number, .big);
    return key;
}

fn valueOf(buffer: []u8, worker: u8, number: u32, round: u8) ![]u8 {
    return std.fmt.bufPrint(buffer, "worker {d}, number {d}, round {d}", .{ worker, number, round });
}

fn putAndGet(db: lsmer.Db, worker: u8) !void {
    var buffer: [64]u8 = undefined;
    var found: [64]u8 = undefined;
    for (0..keys) |index| {
        const number: u32 = @intCast(index);
        const value = try valueOf(&buffer, worker, number, 1);
        try db.put(.default, &keyOf(worker, number), value);
        const seen = try db.get(.default, null, &keyOf(worker, number), &found) orelse
            return error.WrittenKeyIsMissing;
        if (!std.mem.eql(u8, seen, value)) return error.AnotherValueWasRead;
    }
    if (try db.get(.default, null, &keyOf(worker, keys), &found) != null) {
        return error.KeyThatWasNeverWrittenIsThere;
    }
}

/// Gives even keys a new value, copies them to the mirror and removes odd keys, all at once.
fn writeBatch(db: lsmer.Db, mirror: lsmer.Keyspace, worker: u8) !void {
    var batch: lsmer.Batch = .{ .gpa = std.heap.smp_allocator };
    defer batch.deinit();
    var buffer: [64]u8 = undefined;
    for (0..keys) |index| {
        const number: u32 = @intCast(index);
        const key = keyOf(worker, number);
        if (number % 2 == 1) {
            try batch.delete(.default, &key);
            continue;
        }
        const value = try valueOf(&buffer, worker, number, 2);
        try batch.put(.default, &key, value);
        try batch.put(mirror, &key, value);
    }
    try db.write(&batch);
}

/// Expects every step-th key of the worker with its value of that round, and nothing else.
fn expectScan(db: lsmer.Db, ks: lsmer.Keyspace, at: ?lsmer.Snapshot, worker: u8, step: u32, round: u8) !void {
    var page: [page_bytes]u8 = undefined;
    var buffer: [64]u8 = undefined;
    var scan = db.scan(ks, at, &.{worker}, &.{worker + 1}, &page);
    var number: u32 = 0;
    while (try scan.next()) |record| : (number += step) {
        if (!std.mem.eql(u8, record.key, &keyOf(worker, number))) return error.AnotherKeyCameNext;
        const value = try valueOf(&buffer, worker, number, round);
        if (!std.mem.eql(u8, record.value, value)) return error.AnotherValueWasScanned;
    }
    if (number != keys) return error.ScanEndedEarly;
}
