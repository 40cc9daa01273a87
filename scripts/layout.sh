# shellcheck shell=bash
# Sourced by scripts that read the package's files without installing it: they do not follow the
# mapping in setup.py. Links in build/package give the layout that is installed.

lay_out() {
  rm -rf build/package
  mkdir -p build/package/bitat_deploy
  ln -s "$PWD"/bitat_deploy/* "$PWD"/training "$PWD"/targets build/package/bitat_deploy
  ln -s "$PWD"/benchmarks "$PWD"/scripts/import_contracts.py build/package
}
