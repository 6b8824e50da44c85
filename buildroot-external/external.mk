include $(sort $(wildcard $(BR2_EXTERNAL_PINHOLE_PATH)/package/*/*.mk))

# Bill of materials of the box in CycloneDX's format, the firmware's crates
# included. Run it after the build.
.PHONY: pinhole-sbom
pinhole-sbom:
	@$(call MESSAGE,"Writing the bill of materials")
	$(Q)mkdir -p $(BINARIES_DIR)
	$(Q)$(MAKE) -s --no-print-directory O=$(O) show-info >$(BUILD_DIR)/pinhole-info.json
	$(Q)utils/generate-cyclonedx --project-name pinhole --project-version $(PINHOLE_VERSION) \
		-i $(BUILD_DIR)/pinhole-info.json -o $(BINARIES_DIR)/pinhole.cdx.json
	$(Q)$(PINHOLE_CARGO_METADATA) | \
		$(BR2_EXTERNAL_PINHOLE_PATH)/utils/describe-crates sbom $(BINARIES_DIR)/pinhole.cdx.json
