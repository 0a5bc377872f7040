#!/usr/bin/env python3
"""What nvcc makes of the kernels, without a device: registers, shared and local memory, spills, widest accesses, how many
warps fit on a multiprocessor, and how long the work takes at the least on devices of which the peaks are known.

  bench/kernel_report.py                             all kernels for sm_75 to sm_120: some minutes
  bench/kernel_report.py --architectures 80,90 --kernels levels
  bench/kernel_report.py --check                     status 1 where a kernel spills, has local memory or lacks 16-byte accesses

nvcc is $CUDACXX or the one in PATH or /usr/local/cuda; cuobjdump and nvdisasm come with the toolkit, or with `bash
cmake/setup.sh test` (PyPI's nvidia-cuda-cuobjdump and -nvdisasm in .deps). Status 77: one of them is missing.

Times are estimates, not measurements: the greater of bytes / bandwidth and operations / peak of their precision, at the
sizes named. Occupancy counts static shared memory only.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURES = ["75", "80", "86", "89", "90", "100", "120"]


@dataclass
class Multiprocessor:  # CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"
    warps: int
    blocks: int
    shared_bytes: int
    registers: int = 65536


MULTIPROCESSORS = {
    "75": Multiprocessor(32, 16, 64 << 10), "80": Multiprocessor(64, 32, 164 << 10), "86": Multiprocessor(48, 16, 100 << 10),
    "89": Multiprocessor(48, 24, 100 << 10), "90": Multiprocessor(64, 32, 228 << 10), "100": Multiprocessor(64, 32, 228 << 10),
    "120": Multiprocessor(48, 24, 100 << 10)}


@dataclass
class Device:  # data sheets, without tensor cores; flops: in single precision
    name: str
    bytes_per_second: float
    flops: float
    double_flops: float


DEVICES = [Device("A100", 2.04e12, 19.5e12, 9.7e12), Device("H100", 3.35e12, 66.9e12, 33.5e12),
           Device("H200", 4.8e12, 66.9e12, 33.5e12), Device("L4", 0.3e12, 30.3e12, 0.47e12),
           Device("RTX 4090", 1.01e12, 82.6e12, 1.29e12)]


@dataclass
class Work:
    """A kernel's work at a stated size, a multiplication and an addition being two operations (the kernels' head comments)."""
    kernel: str  # its file and name, without template arguments
    what: str
    count: float
    bytes: float  # of memory, each
    flops: float  # each
    wide: str = ""  # accesses that must be of 16 bytes: l(oads), s(tores) ...
    instance: str = ""  # ... of the instances whose names hold this
    in_double: bool = False  # operations


M = 1e6
WORKS = [
    Work("sample_table.sample_rows", "1 M rows of 20 float columns, 20 components", M, 80, 2800, "ls"),
    Work("decode_table.latents_kernel", "1 M rows of 16 latents", M, 64, 1300, "s"),
    Work("decode_table.dense_kernel", "131,072 rows, 16-256-256-700", 131072, 6900, 498e3, "ls"),
    Work("decode_table.draws_kernel", "131,072 rows of 700 logits", 131072, 5700, 31.5e3),
    Work("decode_table.columns_kernel", "1 M rows of 15 columns", M, 240, 300, "ls"),
    Work("bounded_sampler.bounded_kernel", "1 M rows of 5 latents, 8 variables, one bound", M, 250, 1200, "l"),
    Work("code_trainer.embed_kernel", "1 M rows of 15 fields, 256 columns", M, 1084, 3840, "ls", "Wide<float>"),
    Work("code_trainer.embedding_sums_kernel", "256 rows of 15 fields, 700 codes, 256 columns", 256, 3.8e3, 3840, "ls",
         "Wide<float>"),
    Work("code_trainer.code_loss_kernel", "1 M rows of 700 codes", M, 5600, 21e3),
    Work("factor_densities.squares_kernel", "1 M rows of 300 latents, 128 members", M, 2224, 154e3, "l"),
    Work("factor_densities.explained_kernel", "1 M rows, 128 members of rank 16", M, 9216, 41e3),
    Work("factor_densities.gaps_kernel", "1 M rows, 128 members of rank 16, 30 gaps", M, 9216, 2.2e6),
    Work("factor_scores.squares_kernel", "1 M rows of 300 latents, 128 members", M, 3424, 192e3, in_double=True),
    Work("factor_scores.products_kernel", "1 M rows of 300 latents, 128 members of rank 16", M, 18.8e3, 1.5e6, "ls",
         in_double=True),
    Work("factor_scores.whole_kernel", "1 M rows, 128 members of rank 16", M, 34.8e3, 66e3, "l", in_double=True),
    Work("factor_scores.gaps_kernel", "1 M rows, 128 members of rank 16, 30 gaps", M, 180e3, 2.3e6, "l", in_double=True),
    Work("factor_scores.without_whole_kernel", "1 M rows of 300 latents, 128 members of rank 16", M, 22e3, 1.7e6, "l",
         in_double=True),
    Work("factor_scores.without_gaps_kernel", "1 M rows of 270 latents known, 5 members matter", M, 27e3, 2e6, "l",
         in_double=True),
    Work("factor_sums.factors_kernel", "1 M rows in 3 members of rank 16 each", M, 3800, 1536),
    Work("factor_sums.complete_kernel", "1 M rows in 3 members of rank 16 each, 30 gaps", M, 24e3, 71e3, in_double=True),
    Work("factor_sums.gap_sums_kernel", "1 M rows in 3 members of rank 16 each, 30 gaps", M, 9e3, 46e3, in_double=True),
    Work("factor_sums.sums_kernel", "1 M rows of 300 latents in 3 members of rank 16 each", M, 3600, 36e3),
    Work("image_sampler.latents_of_images_kernel", "1 M images of 24 latents", M, 100, 2400),
    Work("image_sampler.levels_kernel", "1 M images of 784 levels", M, 3920, 23.5e3, "ls", "<false>"),
    Work("image_texture.textured_levels_kernel", "1 M images of 784 levels, 64 directions", M, 3920, 125e3, "l", ", 4>"),
    Work("mixture_counts.counts_kernel", "1 M rows of 15 variables in 3 members each", M, 540, 48, in_double=True),
    Work("mixture_counts.boundaries_kernel", "3 M entries", 3 * M, 4, 0),
    Work("mixture_moments.offsets_kernel", "1 M rows of 16 axes in 3 members each, 4 absent", M, 504, 830, in_double=True),
    Work("mixture_moments.moments_kernel", "1 M rows of 16 axes in 3 members each", M, 444, 912, "l", in_double=True),
    Work("nearest.nearest_kernel", "32,561 rows of 15 columns with as many", 32561, 8, 3 * 15 * 32561),
    Work("pair_counts.count_cells_kernel", "105 pairs of columns of 10 M rows", 1050 * M, 8, 0, "l"),
    Work("pair_counts.find_cells_kernel", "10 M rows of a pair of many cells", 10 * M, 16, 0, "ls"),
    Work("positions.positions_kernel", "20 M numbers among 65,536", 20 * M, 12, 0),
    Work("network.finish_kernel", "1 G values of single precision", 1e9, 8, 3, "ls", "Wide<float>"),
    Work("network.patches_kernel", "0.1 G values of patches, 4 x 4, stride 2", 1e8, 5, 0, "s", "uint4"),
    Work("network.taps_kernel", "0.1 G taps, 4 x 4, stride 2", 1e8, 5, 1, "ls", "Wide<float>"),
    Work("network.pool_kernel", "1 G values, 2 x 2", 1e9, 5, 1, "ls", "Wide<float>"),
    Work("network.round_kernel", "1 G values to bfloat16", 1e9, 6, 1, "ls"),
    Work("responsibilities.log_densities_kernel", "1 M rows, 128 members, 8 variables and latents", M, 1024, 14.3e3, "l"),
    Work("responsibilities.near_members_kernel", "1 M rows, 128 members", M, 1536, 400),
    Work("responsibilities.entries_kernel", "1 M rows in 3 members each", M, 76, 120),
    Work("row_scores.joint_kernel", "1 M rows, 128 members, 10 variables, 5 latents", M, 6144, 19e3, "ls", in_double=True),
    Work("row_scores.densities_kernel", "1 M rows, 128 members", M, 2048, 3600, in_double=True),
    Work("row_scores.without_kernel", "1 M rows of 15 columns, 5 of latents", M, 7168, 23e3, in_double=True),
    Work("row_scores.alone_kernel", "1 M rows of 15 columns, 5 of latents", M, 300, 22e3, in_double=True),
    Work("co_moments.square_kernel", "1 G doubles", 1e9, 16, 1, "ls", in_double=True),
    Work("co_moments.column_sums_kernel", "1 G doubles", 1e9, 8, 3, "l", in_double=True),
    Work("trainer.drop_kernel", "1 G values", 1e9, 8, 8, "ls"),
    Work("trainer.pixel_loss_kernel", "1 M images of 784 pixels, Bernoulli", M, 9408, 23.5e3, "ls", "true>"),
    Work("trainer.column_sums_kernel", "1 G values, rectified", 1e9, 12, 2, "ls", "Wide<float>"),
    Work("trainer.adam_kernel", "1.6 M parameters (vae-dense)", 1.6e6, 32, 14, "ls"),
]


@dataclass
class Kernel:
    file: str
    architecture: str
    name: str
    registers: int = 0
    shared_bytes: int = 0
    stack_bytes: int = 0
    local_bytes: int = 0
    spill_accesses: int = 0  # loads and stores of local memory
    threads: int = 0  # of a block, at most
    widest_load: int = 0  # bytes, of global memory
    widest_store: int = 0

    def blocks(self):  # that a multiprocessor holds
        limits = MULTIPROCESSORS[self.architecture]
        warps = -(-self.threads // 32)
        registers_of_warp = -(-self.registers * 32 // 256) * 256
        by_registers = limits.registers // registers_of_warp // warps if self.registers else limits.blocks
        by_shared = limits.shared_bytes // (self.shared_bytes + 1024) if self.shared_bytes else limits.blocks
        return min(limits.blocks, limits.warps // warps, by_registers, by_shared)

    def occupancy(self):
        return self.blocks() * -(-self.threads // 32) / MULTIPROCESSORS[self.architecture].warps

    def short_name(self):
        name = re.sub(r"\(anonymous namespace\)::|doppel::cuda::|doppel::|^void ", "", self.name)
        return re.sub(r"\(.*", "", re.sub(r"\((bool|int)\)", "", name))

    def work(self):
        name = pathlib.Path(self.file).stem + "." + re.sub(r"<.*", "", self.short_name())
        return next((work for work in WORKS if work.kernel == name), None)

    def faults(self):
        found = []
        if self.stack_bytes or self.local_bytes or self.spill_accesses:
            found.append(f"local memory: stack {self.stack_bytes}, local {self.local_bytes} bytes, "
                         f"{self.spill_accesses} accesses")
        work = self.work()
        if work and work.instance in self.short_name():
            if "l" in work.wide and self.widest_load < 16:
                found.append(f"widest load of memory: {self.widest_load} bytes")
            if "s" in work.wide and self.widest_store < 16:
                found.append(f"widest store to memory: {self.widest_store} bytes")
        return found


def find_tool(name, *more):
    found = os.environ.get("CUDACXX") if name == "nvcc" else None
    found = found or shutil.which(name)
    for folder in (*more, "/usr/local/cuda/bin"):
        if not found and (pathlib.Path(folder) / name).exists():
            found = str(pathlib.Path(folder) / name)
    if not found:
        print(f"kernel_report: no {name}: see --help", file=sys.stderr)
        sys.exit(77)
    return found


def run(*command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    if done.returncode:
        sys.exit(f"kernel_report: {' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


class Toolkit:
    def __init__(self):
        wheels = [folder for folder in ROOT.glob(".deps/lib/python3*/site-packages/nvidia/cu*/bin")]
        self.nvcc = find_tool("nvcc")
        self.cuobjdump = find_tool("cuobjdump", *wheels)
        folder = pathlib.Path(find_tool("nvdisasm", *wheels)).parent
        self.env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    def compile(self, file, architecture, cubin):
        run(self.nvcc, "-std=c++20", "-O3", "--fmad=false", f"-arch=sm_{architecture}", "-I.", "-cubin", "-o", cubin, file)

    def dump(self, what, architecture, compiled):
        return run(self.cuobjdump, what, "-arch", f"sm_{architecture}", compiled, env=self.env)

    # Of `objects`, a folder of a build, or compiled for this.
    def kernels(self, file, architecture, objects):
        with tempfile.TemporaryDirectory() as folder:
            if objects:
                compiled = pathlib.Path(objects) / f"{pathlib.Path(file).name}.o"
            else:
                compiled = pathlib.Path(folder) / "kernels.cubin"
                self.compile(file, architecture, compiled)
            found = read_resources(self.dump("-res-usage", architecture, compiled), pathlib.Path(file).name, architecture)
            read_block_sizes(self.dump("-elf", architecture, compiled), found)
            read_accesses(self.dump("-sass", architecture, compiled), found)
        names = run("c++filt", *found).splitlines()
        for kernel, name in zip(found.values(), names):
            kernel.name = name
        return [kernel for kernel in found.values() if "cub::" not in kernel.name]  # a library's


def read_resources(text, file, architecture):
    found = {}
    for name, numbers in re.findall(r"Function (\w+):\s*\n\s*(REG:.*)", text):
        usage = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", numbers)}
        found[name] = Kernel(file, architecture, name, usage["REG"], usage["SHARED"], usage["STACK"], usage["LOCAL"])
    if not found:
        sys.exit(f"kernel_report: {file} for sm_{architecture} has no kernels")
    return found


def read_block_sizes(text, kernels):
    for section in re.split(r"\n(?=\.nv\.info)", text):
        name = re.match(r"\.nv\.info\.(\w+)", section)
        sizes = re.search(r"EIATTR_MAX_THREADS\s+Format:.*\s+Value:\s+0x(\w+) 0x(\w+) 0x(\w+)", section)
        if name and sizes and name[1] in kernels:
            x, y, z = (int(size, 16) for size in sizes.groups())
            kernels[name[1]].threads = x * y * z


def read_accesses(text, kernels):
    for function in text.split("Function : ")[1:]:
        kernel = kernels.get(function.split(None, 1)[0])
        if kernel is None:
            continue
        for operation, modifiers in re.findall(r"\b(LDG|STG|LDL|STL)((?:\.\w+)*)", function):
            if operation in ("LDL", "STL"):
                kernel.spill_accesses += 1
                continue
            width = next((int(bits) // 8 for bits in re.findall(r"\.(\d+)\b", modifiers)), 0)
            width = width or (1 if re.search(r"\.[US]8\b", modifiers) else 2 if re.search(r"\.[US]16\b", modifiers) else 4)
            if operation == "LDG":
                kernel.widest_load = max(kernel.widest_load, width)
            else:
                kernel.widest_store = max(kernel.widest_store, width)


def print_kernels(kernels):
    print(f"{'kernel':58} {'sm':>4} {'regs':>4} {'shared':>7} {'local':>5} {'load':>4} {'store':>5} {'threads':>7} "
          f"{'blocks':>6} {'occupancy':>9}")
    for k in sorted(kernels, key=lambda k: (k.file, k.short_name(), int(k.architecture))):
        print(f"{k.short_name()[:58]:58} {k.architecture:>4} {k.registers:4} {k.shared_bytes:7} "
              f"{k.stack_bytes + k.local_bytes:5} {k.widest_load:4} {k.widest_store:5} {k.threads:7} {k.blocks():6} "
              f"{k.occupancy():8.0%}")


def milliseconds(work, device):
    flops = device.double_flops if work.in_double else device.flops
    by_memory, by_flops = work.bytes / device.bytes_per_second, work.flops / flops
    return 1e3 * work.count * max(by_memory, by_flops), "memory" if by_memory > by_flops else "arithmetic"


def print_rooflines(works):
    print("\nat the least, milliseconds (estimated from data sheets, not measured; m: bound by memory, a: by arithmetic)")
    print(f"{'kernel':40} {'work':48}" + "".join(f"{device.name:>12}" for device in DEVICES))
    for work in works:
        cells = (milliseconds(work, device) for device in DEVICES)
        print(f"{work.kernel:40} {work.what:48}" + "".join(f"{time:10.3g} {bound[0]}" for time, bound in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", default=",".join(ARCHITECTURES), help="compute capabilities: 80,90")
    parser.add_argument("--kernels", default="", help="a regular expression of the names of kernels to report")
    parser.add_argument("--objects", help="a build's folder of objects of the kernels, for its architectures: reads these")
    parser.add_argument("--json", help="write all figures here, too")
    parser.add_argument("--check", action="store_true", help="status 1 where a kernel has a fault")
    parser.add_argument("files", nargs="*", help="kernels/cuda/*.cu unless given")
    asked = parser.parse_args()
    architectures = re.findall(r"\d+", asked.architectures)
    unknown = [one for one in architectures if one not in MULTIPROCESSORS]
    if unknown or not architectures:
        parser.error(f"--architectures: take some of {', '.join(MULTIPROCESSORS)}")
    files = asked.files or sorted(str(file) for file in (ROOT / "kernels/cuda").glob("*.cu"))
    toolkit = Toolkit()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(toolkit.kernels, file, one, asked.objects) for file in files for one in dict.fromkeys(architectures)]
        kernels = [kernel for job in jobs for kernel in job.result() if re.search(asked.kernels, kernel.name)]
    print_kernels(kernels)
    works = [work for work in WORKS if any(kernel.work() is work for kernel in kernels)]
    print_rooflines(works)
    if asked.json:
        about = [{**vars(k), "name": k.short_name(), "occupancy": round(k.occupancy(), 3)} for k in kernels]
        times = [{"kernel": w.kernel, "work": w.what, "estimated_ms": {d.name: milliseconds(w, d)[0] for d in DEVICES}}
                 for w in works]
        pathlib.Path(asked.json).write_text(json.dumps({"kernels": about, "rooflines": times}, indent=1) + "\n")
    faults = [f"{k.short_name()}, sm_{k.architecture}: {fault}" for k in kernels for fault in k.faults()]
    for fault in faults:
        print(f"kernel_report: {fault}", file=sys.stderr)
    return 1 if asked.check and faults else 0


if __name__ == "__main__":
    sys.exit(main())
