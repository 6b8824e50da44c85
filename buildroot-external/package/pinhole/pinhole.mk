################################################################################
#
# pinhole
#
################################################################################

PINHOLE_VERSION = $(shell sed -n '/^\[workspace.package\]/,/^$$/ s/^version = "\(.*\)"/\1/p' $(PINHOLE_SITE)/Cargo.toml)
PINHOLE_SITE = $(realpath $(BR2_EXTERNAL_PINHOLE_PATH)/..)
PINHOLE_SITE_METHOD = local
PINHOLE_SUBDIR = firmware
PINHOLE_LICENSE = MIT or Apache-2.0
PINHOLE_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
# The sources are the checkout itself, with all that was ever built in it.
PINHOLE_REDISTRIBUTE = NO
PINHOLE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude=/build --exclude=/target

# Static, as pid 1 should be: nothing else on the box can keep it from
# starting. The prefixes keep the place of the build out of the binary.
PINHOLE_RUSTFLAGS = \
	-C target-feature=+crt-static \
	--remap-path-prefix=$(BR_CARGO_HOME)=/cargo \
	--remap-path-prefix=$(PINHOLE_DIR)=/pinhole

# The optimisation is the workspace's, as everywhere else; Buildroot would set
# that of its C packages.
PINHOLE_CARGO_ENV = \
	CARGO_TARGET_$(call UPPERCASE,$(RUSTC_TARGET_NAME))_RUSTFLAGS="$(PINHOLE_RUSTFLAGS)" \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=3

# Buildroot lets cargo download crates when it downloads a package, and a local
# one is not downloaded. So it is done before each build; cargo compares with
# the checksums in Cargo.lock. The build itself is offline.
define PINHOLE_FETCH_CRATES
	cd $(PINHOLE_SRCDIR) && \
	$(TARGET_MAKE_ENV) $(PKG_CARGO_ENV) cargo fetch --locked
endef
PINHOLE_PRE_BUILD_HOOKS += PINHOLE_FETCH_CRATES

# What the firmware is made of, for the licences and the bill of materials.
PINHOLE_CARGO_METADATA = \
	cd $(PINHOLE_SRCDIR) && \
	$(TARGET_MAKE_ENV) $(PKG_COMMON_CARGO_ENV) \
		cargo metadata --offline --locked --format-version 1 \
			--filter-platform $(RUSTC_TARGET_NAME)

define PINHOLE_COLLECT_CRATES
	$(PINHOLE_CARGO_METADATA) | \
		$(BR2_EXTERNAL_PINHOLE_PATH)/utils/describe-crates licences $(LEGAL_INFO_DIR)
endef
PINHOLE_POST_LEGAL_INFO_HOOKS += PINHOLE_COLLECT_CRATES

$(eval $(cargo-package))
