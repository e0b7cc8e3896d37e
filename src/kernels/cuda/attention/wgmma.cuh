// Tensor-core products of a warpgroup (PTX: wgmma.mma_async) for BF16 and F16 with F32 sums of
// 64 x 128. They run on while the warps do other work, until wait_for_products.
//
// A lane's part of a sum: warp w of the group has rows 16 w on; of these and of each 8 columns its
// lanes hold what mma.cuh says of a 16 x 8 sum.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace glmoe::cuda {

// A tile of rows of 128 bytes, swizzled over 8 rows, as products see it. `apart`: bytes between
// blocks of 64 columns where the columns are the sum's (N); unused where they are summed over.
__device__ inline uint64_t matrix_descriptor(uint32_t shared_at, uint32_t apart) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  constexpr uint64_t kEightRows = uint64_t{1024 / 16} << 32;
  return kSwizzle128 | kEightRows | (static_cast<uint64_t>(apart / 16) << 16) |
         ((shared_at & 0x3ffff) / 16);
}

// Between other writes of registers (sums, a) and the products that use them.
__device__ inline void products_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// Ends a group of products.
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most kLeft of the latest groups are under way.
template <int kLeft>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

// Registers of a thread in each warp of a group of four, after which it has kCount.
template <int kCount>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

// What other instructions wrote to shared memory becomes visible to products and copies.
__device__ inline void shared_writes_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// sum [64, 128] = (add ? sum : 0) + a [64, 16] b [128, 16] transposed; both in shared memory.
template <class T>
__device__ inline void multiply_shared(float (&sum)[64], uint64_t a, uint64_t b, bool add);
// sum += a [64, 16] b [16, 128]; a in registers, as mma.cuh says of 16 x 16.
template <class T>
__device__ inline void multiply_registers(float (&sum)[64], const uint32_t (&a)[4], uint64_t b);

// The sums in the text of an instruction, and as its operands 0 to 63.
#define GLMOE_SUM_REGISTERS                  \
  "{%0, %1, %2, %3, %4, %5, %6, %7,"         \
  " %8, %9, %10, %11, %12, %13, %14, %15,"   \
  " %16, %17, %18, %19, %20, %21, %22, %23," \
  " %24, %25, %26, %27, %28, %29, %30, %31," \
  " %32, %33, %34, %35, %36, %37, %38, %39," \
  " %40, %41, %42, %43, %44, %45, %46, %47," \
  " %48, %49, %50, %51, %52, %53, %54, %55," \
  " %56, %57, %58, %59, %60, %61, %62, %63}, "
#define GLMOE_SUM_OPERANDS(sum)                                                                   \
  "+f"((sum)[0]), "+f"((sum)[1]), "+f"((sum)[2]), "+f"((sum)[3]), "+f"((sum)[4]), "+f"((sum)[5]), \
      "+f"((sum)[6]), "+f"((sum)[7]), "+f"((sum)[8]), "+f"((sum)[9]), "+f"((sum)[10]),            \
      "+f"((sum)[11]), "+f"((sum)[12]), "+f"((sum)[13]), "+f"((sum)[14]), "+f"((sum)[15]),        \
      "+f"((sum)[16]), "+f"((sum)[17]), "+f"((sum)[18]), "+f"((sum)[19]), "+f"((sum)[20]),        \
      "+f"((sum)[21]), "+f"((sum)[22]), "+f"((sum)[23]), "+f"((sum)[24]), "+f"((sum)[25]),        \
      "+f"((sum)[26]), "+f"((sum)[27]), "+f"((sum)[28]), "+f"((sum)[29]), "+f"((sum)[30]),        \
      "+f"((sum)[31]), "+f"((sum)[32]), "+f"((sum)[33]), "+f"((sum)[34]), "+f"((sum)[35]),        \
      "+f"((sum)[36]), "+f"((sum)[37]), "+f"((sum)[38]), "+f"((sum)[39]), "+f"((sum)[40]),        \
      "+f"((sum)[41]), "+f"((sum)[42]), "+f"((sum)[43]), "+f"((sum)[44]), "+f"((sum)[45]),        \
      "+f"((sum)[46]), "+f"((sum)[47]), "+f"((sum)[48]), "+f"((sum)[49]), "+f"((sum)[50]),        \
      "+f"((sum)[51]), "+f"((sum)[52]), "+f"((sum)[53]), "+f"((sum)[54]), "+f"((sum)[55]),        \
      "+f"((sum)[56]), "+f"((sum)[57]), "+f"((sum)[58]), "+f"((sum)[59]), "+f"((sum)[60]),        \
      "+f"((sum)[61]), "+f"((sum)[62]), "+f"((sum)[63])
// Both products for the type T, "bf16" or "f16" to the instruction.
#define GLMOE_PRODUCTS(T, type)                                                                  \
  template <>                                                                                    \
  __device__ inline void multiply_shared<T>(float(&sum)[64], uint64_t a, uint64_t b, bool add) { \
    asm volatile(                                                                                \
        "{\n"                                                                                    \
        ".reg .pred add;\n"                                                                      \
        "setp.ne.b32 add, %66, 0;\n"                                                             \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " GLMOE_SUM_REGISTERS     \
        "%64, %65, add, 1, 1, 0, 0;\n"                                                           \
        "}\n"                                                                                    \
        : GLMOE_SUM_OPERANDS(sum)                                                                \
        : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                           \
  }                                                                                              \
  template <>                                                                                    \
  __device__ inline void multiply_registers<T>(float(&sum)[64], const uint32_t(&a)[4],           \
                                               uint64_t b) {                                     \
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                    \
                 " " GLMOE_SUM_REGISTERS "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"              \
                 : GLMOE_SUM_OPERANDS(sum)                                                       \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                          \
  }
GLMOE_PRODUCTS(__nv_bfloat16, "bf16")
GLMOE_PRODUCTS(__half, "f16")
#undef GLMOE_PRODUCTS
#undef GLMOE_SUM_OPERANDS
#undef GLMOE_SUM_REGISTERS

}  // namespace glmoe::cuda
