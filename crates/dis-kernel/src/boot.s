# From the boot protocol (PVH: 32-bit, flat, paging off, ebx = start_info) to 64-bit Rust.

.section .note.pvh,"a",@note
    .balign 4
    .long 4, 8, 18                  # sizes of name and descriptor; XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_start

.section .boot.text,"ax",@progbits
.code32
.global pvh_start
pvh_start:
    cli
    cld
    movl %ebx, %edi

    # The first 4 GiB in 2 MiB pages, where they are and again in the last 2 GiB; from 3 GiB on uncached.
    movl $boot_pdpt_low + 3, boot_pml4
    movl $boot_pdpt_high + 3, boot_pml4 + 511 * 8
    movl $boot_pd + 3, boot_pdpt_low
    movl $boot_pd + 0x1003, boot_pdpt_low + 8
    movl $boot_pd + 0x2003, boot_pdpt_low + 16
    movl $boot_pd + 0x3003, boot_pdpt_low + 24
    movl $boot_pd + 3, boot_pdpt_high + 510 * 8
    movl $boot_pd + 0x1003, boot_pdpt_high + 511 * 8
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl $0x83, %eax
    cmpl $1536, %ecx
    jb 2f
    orl $0x18, %eax
2:  movl %eax, boot_pd(,%ecx,8)
    movl $0, boot_pd + 4(,%ecx,8)
    incl %ecx
    cmpl $2048, %ecx
    jb 1b

    # PAE, OSFXSR, OSXMMEXCPT; LME, NXE; then PG, WP, NE, ET, MP, PE. SSE is on before any Rust runs.
    movl $0x620, %eax
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl $0x80010033, %eax
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $long_mode

.code64
long_mode:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movabsq $boot_stack_top, %rsp
    xorl %ebp, %ebp
    movl %edi, %edi
    movabsq $kmain, %rax
    call *%rax
    ud2

.section .boot.data,"aw",@progbits
    .balign 16
boot_gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
boot_gdt_pointer:
    .word 23
    .long boot_gdt

.section .boot.bss,"aw",@nobits
    .balign 4096
.global boot_pml4
boot_pml4:      .skip 4096
boot_pdpt_low:  .skip 4096
boot_pdpt_high: .skip 4096
boot_pd:        .skip 4 * 4096

.section .bss
    .balign 16
boot_stack:     .skip 131072
boot_stack_top:

# Where an application processor begins, in real mode; copied to 0x8000, which is where the addresses below count from.
.section .rodata
.global trampoline_start, trampoline_end, trampoline_cr3, trampoline_stack, trampoline_argument, trampoline_entry
.set BASE, 0x8000
.code16
trampoline_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt_pointer - trampoline_start + BASE
    movl $0x620, %eax
    movl %eax, %cr4
    movl trampoline_cr3 - trampoline_start + BASE, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl $0x80010033, %eax
    movl %eax, %cr0
    ljmpl $8, $(trampoline_long - trampoline_start + BASE)
.code64
trampoline_long:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movq trampoline_stack(%rip), %rsp
    movq trampoline_argument(%rip), %rdi
    xorl %ebp, %ebp
    movq trampoline_tables(%rip), %rsi
    movq trampoline_entry(%rip), %rax
    jmp *%rax
    .balign 16
trampoline_gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
trampoline_gdt_pointer:
    .word 23
    .long trampoline_gdt - trampoline_start + BASE
    .balign 8
trampoline_cr3:      .quad 0
trampoline_stack:    .quad 0
trampoline_argument: .quad 0
trampoline_tables:   .quad 0
trampoline_entry:    .quad 0
trampoline_end:
