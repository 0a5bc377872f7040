#!/usr/bin/env bash
# The kernels' tests on AVX-512, on a machine that has none: bash tests/kernels/emulate_avx512.sh [FOLDER]
# Boots a Linux kernel in Bochs as a Skylake-X processor, whose every instruction Bochs carries out in software, and runs
# there the tests that compare instruction sets with each other, with naive references and with the golden files. It takes
# some minutes of one core; too long, and too much to install, for every test run.
# The release build has to be configured (cmake --preset release). Debian packages: binutils bochs bochsbios bochs-term
# busybox-static cpio isolinux syslinux-common xorriso. The kernel's package (27 MB) is fetched and unpacked in FOLDER
# (build/avx512); nothing is installed.
# Status 0: all passed. 1: something failed. 77: a program is missing, nothing was done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath -m "${1:-build/avx512}") program=build/release/tests/test_kernels
filter='Golden.*:Normals.SameBits*:Normals.EachIs*:NearestDistances.*:Cpu/SampleTable.*'
SECONDS=0

for needed in objdump bochs busybox cpio xorriso /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so \
  /usr/share/bochs/VGABIOS-lgpl-latest /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32; do
  command -v "$needed" >/dev/null || [[ -e $needed ]] || { echo "emulate_avx512: no $needed; nothing was done" >&2; exit 77; }
done
fail() {
  echo "emulate_avx512: FAILED: $*; logs are in $folder" >&2
  exit 1
}

cmake --build build/release --target test_kernels
mkdir -p "$folder"
wide=$(objdump -dC --no-show-raw-insn "$program" | awk '/>:$/ { inside = /N_AVX3::/ } inside && /%zmm/' | wc -l)
((wide > 0)) || fail 'the program has no AVX-512 instructions'

if ! [[ -e $folder/vmlinuz ]]; then
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
  (cd "$folder" && apt-get -qq download "$package") || fail 'the kernel could not be fetched'
  dpkg-deb --fsys-tarfile "$folder/$package"_*.deb | tar x -O --wildcards './boot/vmlinuz-*' >"$folder/vmlinuz.part"
  mv "$folder/vmlinuz.part" "$folder/vmlinuz"
  rm "$folder/$package"_*.deb
fi

# The root file system, in memory: busybox, the program with its libraries, the golden files.
rm -rf "$folder/root" "$folder/disc" "$folder/serial.log"
root=$folder/root
mkdir -p "$root"/{bin,proc} "$root$PWD/tests/golden" "$folder/disc"
cp "$(command -v busybox)" "$root/bin/busybox"
cp tests/golden/sample_*.txt "$root$PWD/tests/golden"  # where the program looks for it
cp "$program" "$root/test"
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do install -D "$library" "$root$library"; done
cat >"$root/init" <<EOF
#!/bin/busybox sh
busybox mount -t proc proc /proc
export OPENBLAS_NUM_THREADS=1
busybox grep -m 1 'model name' /proc/cpuinfo
/test --gtest_color=no '--gtest_filter=$filter'
echo "status \$?"
busybox sleep 1  # until the serial port has sent it all
busybox poweroff -f
EOF
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$folder/disc/initrd"

# Bochs states the sizes of XSAVE's compacted form wrongly, and Linux would do without XSAVE, hence without AVX.
cp "$folder/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$folder/disc"
cat >"$folder/disc/isolinux.cfg" <<'EOF'
DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  INITRD initrd
  APPEND console=ttyS0 loglevel=4 mitigations=off nokaslr clearcpuid=xsaves,xsavec
EOF
xorriso -as mkisofs -quiet -o "$folder/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$folder/disc" 2>"$folder/xorriso.log" || fail 'no boot disc was made'

cat >"$folder/bochsrc" <<EOF
cpu: model=corei7_skylake_x, ips=20000000, reset_on_triple_fault=0
megs: 256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$folder/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$folder/serial.log
sound: driver=dummy
speaker: enabled=0
clock: sync=none
display_library: term
log: $folder/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
EOF
printf 'continue\nquit\n' >"$folder/debugger"  # Debian's Bochs starts in its debugger
# Switching the power off ends Bochs, which calls it a panic. Its display wants a terminal.
TERM=vt100 timeout 900 script -qefc "bochs -q -f '$folder/bochsrc' -rc '$folder/debugger'" "$folder/display.log" \
  </dev/null >/dev/null || true

tr -d '\r' <"$folder/serial.log" | grep -E '^(model name|\[ +(OK|FAILED|PASSED) +\]|status)|Failure' || true
grep -q '^status 0' "$folder/serial.log" || fail 'not all tests passed'
passed() { grep -c "^\[ *OK \] Cpu/SampleTable.*/$1 " "$folder/serial.log"; }
(($(passed AVX512) > 0 && $(passed AVX512) == $(passed AVX2))) || fail 'the tests did not run on AVX-512'
echo "emulate_avx512: all passed on AVX-512 ($wide instructions with 512-bit registers in the program) in $SECONDS s"
