// What the processor can do at most: exclusive or, count, add, all in registers.
//
// Compiled by native_kernels.py, which times it. In assembly, as compilers keep arrays of
// vectors in memory, or move what does not change out of the loop.

#define STEP(sum, product)                              \
  "vpxord %%zmm30, %%zmm31, %%zmm" #product "\n\t"      \
  "vpopcntd %%zmm" #product ", %%zmm" #product "\n\t"   \
  "vpaddd %%zmm" #product ", %%zmm" #sum ", %%zmm" #sum "\n\t"

// Runs the three instructions in 12 independent chains, `rounds` times; returns how many
// pairs of bits that multiplies and adds up.
extern "C" double run_peak(long rounds) {
  long left = rounds;
  asm volatile(
      "vpternlogd $0xff, %%zmm30, %%zmm30, %%zmm30\n\t"
      "vpxord %%zmm31, %%zmm31, %%zmm31\n\t"
      "1:\n\t"
      STEP(0, 12) STEP(1, 13) STEP(2, 14) STEP(3, 15) STEP(4, 16) STEP(5, 17)
      STEP(6, 18) STEP(7, 19) STEP(8, 20) STEP(9, 21) STEP(10, 22) STEP(11, 23)
      "dec %0\n\t"
      "jnz 1b\n\t"
      "vzeroupper"
      : "+r"(left)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17",
        "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31");
  return 12.0 * 512.0 * static_cast<double>(rounds);
}
