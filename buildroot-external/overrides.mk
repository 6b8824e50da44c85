################################################################################
#
# Settings of Buildroot's own packages that have no option
#
################################################################################

# Buildroot reads this file before its packages (BR2_PACKAGE_OVERRIDE_FILE).

# Buildroot 2026.02 has Rust 1.88. Of the firmware's crates smoltcp needs 1.91,
# and its own sources 1.95. The hashes are in patches/rust-bin/rust-bin.hash.
override RUST_BIN_VERSION = 1.96.1

# The usual place for a developer's overrides goes on working.
-include $(CONFIG_DIR)/local.mk
