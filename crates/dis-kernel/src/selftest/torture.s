# torture(seed: rdi, spins: rsi) -> rax: fills every general register but rsp, xmm0 to xmm15, the x87 stack, both control
# words and the red zone with values of their own, spins, and answers 0 if all are still there, else the number of what is
# not. Values: seed + 1.. in general registers, + 101.. in xmm, + 201.. in x87, + 301.. in the red zone. At rsp + 0 is the
# seed, + 8 the spins that are left, + 16 scratch, + 24 MXCSR, + 28 the x87 control word.

# Fails with `number` unless `register` holds the seed and `number`.
.macro expect register, number
    sub \register, [rsp]
    cmp \register, \number
    mov dword ptr [rsp + 16], \number
    jne 2f
.endm

.text
.global torture
torture:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 40
    mov [rsp], rdi
    mov [rsp + 8], rsi
    # Rounding modes of the seed's own.
    mov eax, edi
    and eax, 3
    mov ecx, eax
    shl eax, 13
    or eax, 0x1f80
    mov [rsp + 24], eax
    shl ecx, 10
    or ecx, 0x037f
    mov [rsp + 28], ecx
    ldmxcsr [rsp + 24]
    fninit
    fldcw [rsp + 28]
.irp n, 1, 2, 3, 4, 5, 6, 7, 8
    lea rax, [rdi + 200 + \n]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
.endr
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    lea rax, [rdi + 101 + \n]
    movq xmm\n, rax
    punpcklqdq xmm\n, xmm\n
    lea rax, [rdi + 301 + \n]
    mov [rsp - 8 - 8 * \n], rax
.endr
    lea rax, [rdi + 1]
    lea rbx, [rdi + 2]
    lea rcx, [rdi + 3]
    lea rdx, [rdi + 4]
    lea rsi, [rdi + 5]
    lea rbp, [rdi + 6]
    lea r8, [rdi + 7]
    lea r9, [rdi + 8]
    lea r10, [rdi + 9]
    lea r11, [rdi + 10]
    lea r12, [rdi + 11]
    lea r13, [rdi + 12]
    lea r14, [rdi + 13]
    lea r15, [rdi + 14]
    lea rdi, [rdi + 15]
1:  dec qword ptr [rsp + 8]
    jnz 1b
    expect rax, 1
    expect rbx, 2
    expect rcx, 3
    expect rdx, 4
    expect rsi, 5
    expect rbp, 6
    expect r8, 7
    expect r9, 8
    expect r10, 9
    expect r11, 10
    expect r12, 11
    expect r13, 12
    expect r14, 13
    expect r15, 14
    expect rdi, 15
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    mov rax, [rsp - 8 - 8 * \n]
    expect rax, 301+\n
.endr
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movq rax, xmm\n
    punpckhqdq xmm\n, xmm\n
    movq rcx, xmm\n
    expect rax, 101+\n
    expect rcx, 101+\n
.endr
    # The control words, then x87 from the top of its stack.
    stmxcsr [rsp + 16]
    mov eax, [rsp + 16]
    and eax, 0xffc0
    cmp eax, [rsp + 24]
    mov dword ptr [rsp + 16], 401
    jne 2f
    fnstcw [rsp + 32]
    movzx eax, word ptr [rsp + 32]
    cmp eax, [rsp + 28]
    mov dword ptr [rsp + 16], 402
    jne 2f
.irp n, 8, 7, 6, 5, 4, 3, 2, 1
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    expect rax, 200+\n
.endr
    mov dword ptr [rsp + 16], 0
2:  fninit
    mov dword ptr [rsp + 24], 0x1f80
    ldmxcsr [rsp + 24]
    cld
    mov eax, [rsp + 16]
    add rsp, 40
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
.global torture_end
torture_end:
