# From the loader (PVH: 32-bit, no paging) to `main` in 64-bit mode.
.section .note.pvh, "a", @note
    .long 4, 8, 18
    .asciz "Xen"
    .quad start
.section .text
.code32
.global start
start:
    movl $0x3, %edx                     # the first 4 GiB where they are, in pages of 2 MiB
    movl $tables + 0x1003, tables
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $12, %eax
    addl $tables + 0x2003, %eax
    movl %eax, tables + 0x1000(,%ecx,8)
    incl %ecx
    cmpl $4, %ecx
    jb 1b
    xorl %ecx, %ecx
2:  movl %ecx, %eax
    shll $21, %eax
    orl $0x83, %eax
    movl %eax, tables + 0x2000(,%ecx,8)
    incl %ecx
    cmpl $2048, %ecx
    jb 2b
    movl $0x620, %eax                   # PAE and SSE, which compiled Rust uses everywhere
    movl %eax, %cr4
    movl $tables, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              # long mode
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80000033, %eax
    movl %eax, %cr0
    lgdt pointer
    ljmp $8, $3f
.code64
3:  movl $16, %eax
    movl %eax, %ss
    leaq boot_stack_end(%rip), %rsp
    call main
.section .data
gdt: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
pointer: .word 23
    .long gdt
.section .bss
.balign 4096
tables: .skip 6 * 4096
.skip 65536
boot_stack_end:
