# What is made beside the program itself; everything else is cargo's.

.PHONY: sbom deny

# A bill of materials of the program's own dependencies: changegate.cdx.json.
sbom:
	cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked cargo-cyclonedx
	cargo cyclonedx --format json --spec-version 1.5 --override-filename changegate.cdx

# Licences, sources and doubles of the dependencies.
deny:
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources
