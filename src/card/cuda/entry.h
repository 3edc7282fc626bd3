/* The two ways of an exported name, in assembler: to Leat's own function, or through the table of
 * the driver's functions, which is filled as names are used. The arguments stay where they are, so
 * that no signature need be known. An own name has a second, hidden one, entry_NAME, whose address
 * is the same for everybody whatever else is loaded. Included once, by the generated list of
 * names. */
#ifndef LEAT_CARD_CUDA_ENTRY_H
#define LEAT_CARD_CUDA_ENTRY_H

#define ENTRY(name, code) \
    __asm__(".text\n.globl " name "\n.type " name ", %function\n.p2align 4\n" name ":\n" code \
            "\n.size " name ", .-" name "\n")

#if defined(__x86_64__)

#define OWN(name, own) \
    ENTRY(#name, ".globl entry_" #name "\n.hidden entry_" #name "\nentry_" #name ":\n" \
                 "jmp " #own "\n.hidden " #own)
#define PASS(name, number) ENTRY(#name, "movl $" #number ", %r11d\njmp driver_pass")

__asm__(".hidden driver_table, driver_entry, driver_refuses\n"
        ".text\n"
        "driver_pass:\n"
        "leaq driver_table(%rip), %r10\n"
        "movq (%r10, %r11, 8), %r10\n"
        "testq %r10, %r10\n"
        "je 1f\n"
        "jmp *%r10\n"
        "1:  pushq %rdi\n"
        "pushq %rsi\n"
        "pushq %rdx\n"
        "pushq %rcx\n"
        "pushq %r8\n"
        "pushq %r9\n"
        "subq $72, %rsp\n"
        "movups %xmm0, (%rsp)\n"
        "movups %xmm1, 16(%rsp)\n"
        "movups %xmm2, 32(%rsp)\n"
        "movups %xmm3, 48(%rsp)\n"
        "movl %r11d, %edi\n"
        "call driver_entry\n"
        "movups (%rsp), %xmm0\n"
        "movups 16(%rsp), %xmm1\n"
        "movups 32(%rsp), %xmm2\n"
        "movups 48(%rsp), %xmm3\n"
        "addq $72, %rsp\n"
        "popq %r9\n"
        "popq %r8\n"
        "popq %rcx\n"
        "popq %rdx\n"
        "popq %rsi\n"
        "popq %rdi\n"
        "jmp *%rax\n");

#elif defined(__aarch64__)

#define OWN(name, own) \
    ENTRY(#name, ".globl entry_" #name "\n.hidden entry_" #name "\nentry_" #name ":\n" \
                 "b " #own "\n.hidden " #own)
#define PASS(name, number) ENTRY(#name, "mov w16, #" #number "\nb driver_pass")

__asm__(".hidden driver_table, driver_entry, driver_refuses\n"
        ".text\n"
        "driver_pass:\n"
        "adrp x17, driver_table\n"
        "add x17, x17, :lo12:driver_table\n"
        "ldr x17, [x17, x16, lsl #3]\n"
        "cbz x17, 1f\n"
        "br x17\n"
        "1:  stp x29, x30, [sp, #-144]!\n"
        "stp x0, x1, [sp, #16]\n"
        "stp x2, x3, [sp, #32]\n"
        "stp x4, x5, [sp, #48]\n"
        "stp x6, x7, [sp, #64]\n"
        "stp q0, q1, [sp, #80]\n"
        "stp q2, q3, [sp, #112]\n"
        "mov w0, w16\n"
        "bl driver_entry\n"
        "mov x17, x0\n"
        "ldp x0, x1, [sp, #16]\n"
        "ldp x2, x3, [sp, #32]\n"
        "ldp x4, x5, [sp, #48]\n"
        "ldp x6, x7, [sp, #64]\n"
        "ldp q0, q1, [sp, #80]\n"
        "ldp q2, q3, [sp, #112]\n"
        "ldp x29, x30, [sp], #144\n"
        "br x17\n");

#else
#error "the entry points are written for x86-64 and aarch64"
#endif

#endif
