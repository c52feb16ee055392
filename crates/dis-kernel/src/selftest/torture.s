# torture(seed: rdi, spins: rsi) -> rax: fills every general register but rsp, xmm0 to xmm15, the x87 stack, both control
# words and the red zone with values of their own, spins, and answers 0 if all are still there, else the number of what is
# not. Values: seed + 1.. in general registers, + 101.. in xmm, + 201.. in x87, + 301.. in the red zone. At rsp + 0 is the
# seed, + 8 the spins that are left, + 16 scratch, + 24 MXCSR, + 28 the x87 control word.

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
    lea rax, [rdi + 201]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 202]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 203]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 204]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 205]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 206]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 207]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 208]
    mov [rsp + 16], rax
    fild qword ptr [rsp + 16]
    lea rax, [rdi + 101]
    movq xmm0, rax
    punpcklqdq xmm0, xmm0
    lea rax, [rdi + 102]
    movq xmm1, rax
    punpcklqdq xmm1, xmm1
    lea rax, [rdi + 103]
    movq xmm2, rax
    punpcklqdq xmm2, xmm2
    lea rax, [rdi + 104]
    movq xmm3, rax
    punpcklqdq xmm3, xmm3
    lea rax, [rdi + 105]
    movq xmm4, rax
    punpcklqdq xmm4, xmm4
    lea rax, [rdi + 106]
    movq xmm5, rax
    punpcklqdq xmm5, xmm5
    lea rax, [rdi + 107]
    movq xmm6, rax
    punpcklqdq xmm6, xmm6
    lea rax, [rdi + 108]
    movq xmm7, rax
    punpcklqdq xmm7, xmm7
    lea rax, [rdi + 109]
    movq xmm8, rax
    punpcklqdq xmm8, xmm8
    lea rax, [rdi + 110]
    movq xmm9, rax
    punpcklqdq xmm9, xmm9
    lea rax, [rdi + 111]
    movq xmm10, rax
    punpcklqdq xmm10, xmm10
    lea rax, [rdi + 112]
    movq xmm11, rax
    punpcklqdq xmm11, xmm11
    lea rax, [rdi + 113]
    movq xmm12, rax
    punpcklqdq xmm12, xmm12
    lea rax, [rdi + 114]
    movq xmm13, rax
    punpcklqdq xmm13, xmm13
    lea rax, [rdi + 115]
    movq xmm14, rax
    punpcklqdq xmm14, xmm14
    lea rax, [rdi + 116]
    movq xmm15, rax
    punpcklqdq xmm15, xmm15
    lea rax, [rdi + 301]
    mov [rsp - 8], rax
    lea rax, [rdi + 302]
    mov [rsp - 16], rax
    lea rax, [rdi + 303]
    mov [rsp - 24], rax
    lea rax, [rdi + 304]
    mov [rsp - 32], rax
    lea rax, [rdi + 305]
    mov [rsp - 40], rax
    lea rax, [rdi + 306]
    mov [rsp - 48], rax
    lea rax, [rdi + 307]
    mov [rsp - 56], rax
    lea rax, [rdi + 308]
    mov [rsp - 64], rax
    lea rax, [rdi + 309]
    mov [rsp - 72], rax
    lea rax, [rdi + 310]
    mov [rsp - 80], rax
    lea rax, [rdi + 311]
    mov [rsp - 88], rax
    lea rax, [rdi + 312]
    mov [rsp - 96], rax
    lea rax, [rdi + 313]
    mov [rsp - 104], rax
    lea rax, [rdi + 314]
    mov [rsp - 112], rax
    lea rax, [rdi + 315]
    mov [rsp - 120], rax
    lea rax, [rdi + 316]
    mov [rsp - 128], rax
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
    sub rax, [rsp]
    cmp rax, 1
    mov dword ptr [rsp + 16], 1
    jne 2f
    sub rbx, [rsp]
    cmp rbx, 2
    mov dword ptr [rsp + 16], 2
    jne 2f
    sub rcx, [rsp]
    cmp rcx, 3
    mov dword ptr [rsp + 16], 3
    jne 2f
    sub rdx, [rsp]
    cmp rdx, 4
    mov dword ptr [rsp + 16], 4
    jne 2f
    sub rsi, [rsp]
    cmp rsi, 5
    mov dword ptr [rsp + 16], 5
    jne 2f
    sub rbp, [rsp]
    cmp rbp, 6
    mov dword ptr [rsp + 16], 6
    jne 2f
    sub r8, [rsp]
    cmp r8, 7
    mov dword ptr [rsp + 16], 7
    jne 2f
    sub r9, [rsp]
    cmp r9, 8
    mov dword ptr [rsp + 16], 8
    jne 2f
    sub r10, [rsp]
    cmp r10, 9
    mov dword ptr [rsp + 16], 9
    jne 2f
    sub r11, [rsp]
    cmp r11, 10
    mov dword ptr [rsp + 16], 10
    jne 2f
    sub r12, [rsp]
    cmp r12, 11
    mov dword ptr [rsp + 16], 11
    jne 2f
    sub r13, [rsp]
    cmp r13, 12
    mov dword ptr [rsp + 16], 12
    jne 2f
    sub r14, [rsp]
    cmp r14, 13
    mov dword ptr [rsp + 16], 13
    jne 2f
    sub r15, [rsp]
    cmp r15, 14
    mov dword ptr [rsp + 16], 14
    jne 2f
    sub rdi, [rsp]
    cmp rdi, 15
    mov dword ptr [rsp + 16], 15
    jne 2f
    mov rax, [rsp - 8]
    sub rax, [rsp]
    cmp rax, 301
    mov dword ptr [rsp + 16], 301
    jne 2f
    mov rax, [rsp - 16]
    sub rax, [rsp]
    cmp rax, 302
    mov dword ptr [rsp + 16], 302
    jne 2f
    mov rax, [rsp - 24]
    sub rax, [rsp]
    cmp rax, 303
    mov dword ptr [rsp + 16], 303
    jne 2f
    mov rax, [rsp - 32]
    sub rax, [rsp]
    cmp rax, 304
    mov dword ptr [rsp + 16], 304
    jne 2f
    mov rax, [rsp - 40]
    sub rax, [rsp]
    cmp rax, 305
    mov dword ptr [rsp + 16], 305
    jne 2f
    mov rax, [rsp - 48]
    sub rax, [rsp]
    cmp rax, 306
    mov dword ptr [rsp + 16], 306
    jne 2f
    mov rax, [rsp - 56]
    sub rax, [rsp]
    cmp rax, 307
    mov dword ptr [rsp + 16], 307
    jne 2f
    mov rax, [rsp - 64]
    sub rax, [rsp]
    cmp rax, 308
    mov dword ptr [rsp + 16], 308
    jne 2f
    mov rax, [rsp - 72]
    sub rax, [rsp]
    cmp rax, 309
    mov dword ptr [rsp + 16], 309
    jne 2f
    mov rax, [rsp - 80]
    sub rax, [rsp]
    cmp rax, 310
    mov dword ptr [rsp + 16], 310
    jne 2f
    mov rax, [rsp - 88]
    sub rax, [rsp]
    cmp rax, 311
    mov dword ptr [rsp + 16], 311
    jne 2f
    mov rax, [rsp - 96]
    sub rax, [rsp]
    cmp rax, 312
    mov dword ptr [rsp + 16], 312
    jne 2f
    mov rax, [rsp - 104]
    sub rax, [rsp]
    cmp rax, 313
    mov dword ptr [rsp + 16], 313
    jne 2f
    mov rax, [rsp - 112]
    sub rax, [rsp]
    cmp rax, 314
    mov dword ptr [rsp + 16], 314
    jne 2f
    mov rax, [rsp - 120]
    sub rax, [rsp]
    cmp rax, 315
    mov dword ptr [rsp + 16], 315
    jne 2f
    mov rax, [rsp - 128]
    sub rax, [rsp]
    cmp rax, 316
    mov dword ptr [rsp + 16], 316
    jne 2f
    movq rax, xmm0
    punpckhqdq xmm0, xmm0
    movq rcx, xmm0
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 101
    mov dword ptr [rsp + 16], 101
    jne 2f
    cmp rcx, 101
    jne 2f
    movq rax, xmm1
    punpckhqdq xmm1, xmm1
    movq rcx, xmm1
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 102
    mov dword ptr [rsp + 16], 102
    jne 2f
    cmp rcx, 102
    jne 2f
    movq rax, xmm2
    punpckhqdq xmm2, xmm2
    movq rcx, xmm2
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 103
    mov dword ptr [rsp + 16], 103
    jne 2f
    cmp rcx, 103
    jne 2f
    movq rax, xmm3
    punpckhqdq xmm3, xmm3
    movq rcx, xmm3
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 104
    mov dword ptr [rsp + 16], 104
    jne 2f
    cmp rcx, 104
    jne 2f
    movq rax, xmm4
    punpckhqdq xmm4, xmm4
    movq rcx, xmm4
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 105
    mov dword ptr [rsp + 16], 105
    jne 2f
    cmp rcx, 105
    jne 2f
    movq rax, xmm5
    punpckhqdq xmm5, xmm5
    movq rcx, xmm5
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 106
    mov dword ptr [rsp + 16], 106
    jne 2f
    cmp rcx, 106
    jne 2f
    movq rax, xmm6
    punpckhqdq xmm6, xmm6
    movq rcx, xmm6
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 107
    mov dword ptr [rsp + 16], 107
    jne 2f
    cmp rcx, 107
    jne 2f
    movq rax, xmm7
    punpckhqdq xmm7, xmm7
    movq rcx, xmm7
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 108
    mov dword ptr [rsp + 16], 108
    jne 2f
    cmp rcx, 108
    jne 2f
    movq rax, xmm8
    punpckhqdq xmm8, xmm8
    movq rcx, xmm8
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 109
    mov dword ptr [rsp + 16], 109
    jne 2f
    cmp rcx, 109
    jne 2f
    movq rax, xmm9
    punpckhqdq xmm9, xmm9
    movq rcx, xmm9
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 110
    mov dword ptr [rsp + 16], 110
    jne 2f
    cmp rcx, 110
    jne 2f
    movq rax, xmm10
    punpckhqdq xmm10, xmm10
    movq rcx, xmm10
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 111
    mov dword ptr [rsp + 16], 111
    jne 2f
    cmp rcx, 111
    jne 2f
    movq rax, xmm11
    punpckhqdq xmm11, xmm11
    movq rcx, xmm11
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 112
    mov dword ptr [rsp + 16], 112
    jne 2f
    cmp rcx, 112
    jne 2f
    movq rax, xmm12
    punpckhqdq xmm12, xmm12
    movq rcx, xmm12
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 113
    mov dword ptr [rsp + 16], 113
    jne 2f
    cmp rcx, 113
    jne 2f
    movq rax, xmm13
    punpckhqdq xmm13, xmm13
    movq rcx, xmm13
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 114
    mov dword ptr [rsp + 16], 114
    jne 2f
    cmp rcx, 114
    jne 2f
    movq rax, xmm14
    punpckhqdq xmm14, xmm14
    movq rcx, xmm14
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 115
    mov dword ptr [rsp + 16], 115
    jne 2f
    cmp rcx, 115
    jne 2f
    movq rax, xmm15
    punpckhqdq xmm15, xmm15
    movq rcx, xmm15
    sub rax, [rsp]
    sub rcx, [rsp]
    cmp rax, 116
    mov dword ptr [rsp + 16], 116
    jne 2f
    cmp rcx, 116
    jne 2f
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
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 208
    mov dword ptr [rsp + 16], 208
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 207
    mov dword ptr [rsp + 16], 207
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 206
    mov dword ptr [rsp + 16], 206
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 205
    mov dword ptr [rsp + 16], 205
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 204
    mov dword ptr [rsp + 16], 204
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 203
    mov dword ptr [rsp + 16], 203
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 202
    mov dword ptr [rsp + 16], 202
    jne 2f
    fistp qword ptr [rsp + 32]
    mov rax, [rsp + 32]
    sub rax, [rsp]
    cmp rax, 201
    mov dword ptr [rsp + 16], 201
    jne 2f
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
