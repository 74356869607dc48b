//! Translates lsmer.h, links the shared library and builds a program that uses both.
//!
//!   zig build run -Dinclude=DIRECTORY -Dlib=DIRECTORY -- DATABASE
//!
//! `include` holds lsmer.h, `lib` holds liblsmer.so; both may be left out if the system has them.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const include = b.option([]const u8, "include", "Directory of lsmer.h");
    const lib = b.option([]const u8, "lib", "Directory of liblsmer.so");

    // Every function, type and constant of the header becomes a declaration of this module.
    const header = b.addTranslateC(.{
        .root_source_file = b.path("src/lsmer.h"),
        .target = target,
        .optimize = optimize,
    });
    const root = b.createModule(.{
        .root_source_file = b.path("src/main.zig"),
        .target = target,
        .optimize = optimize,
        .imports = &.{.{ .name = "lsmer_h", .module = header.createModule() }},
    });
    if (include) |path| header.addIncludePath(.{ .cwd_relative = path });
    if (lib) |path| {
        root.addLibraryPath(.{ .cwd_relative = path });
        root.addRPath(.{ .cwd_relative = path });
    }
    root.linkSystemLibrary("lsmer", .{ .use_pkg_config = .no });

    const program = b.addExecutable(.{ .name = "lsmer-zig", .root_module = root });
    b.installArtifact(program);

    const run = b.addRunArtifact(program);
    run.addPassthruArgs();
    b.step("run", "Run the program on the database given after --").dependOn(&run.step);
}
