# A program for ring 3, linked for 0x400000: one entry for each of the things that are tried. In the kernel it is data.
# Calls: number in rax (see `user/calls.rs`). The routine of `torture.s` is copied to 0x401000.

.section .rodata
.balign 16
.global user_start, user_compute, user_pages, user_privileged, user_kernel, user_text, user_stack_code, user_spin, user_calls
.global user_torture, user_end
user_start:

# Counts rdi down, then exits with 7.
user_compute:
1:  dec rdi
    jnz 1b
    mov edi, 7
    jmp leave

# Writes to rdi pages, which must be zero before. Each, and the stack's first, must have been one page fault.
user_pages:
    mov r14, rdi
    mov rbx, 0x10000000
1:  cmp qword ptr [rbx + 8], 0
    jne wrong
    mov [rbx + 8], rdi
    add rbx, 4096
    dec rdi
    jnz 1b
    sub rsp, 256
    mov qword ptr [rsp], 0
    mov eax, 11                     # current
    int 0x80
    mov rdi, rax
    mov rsi, rsp
    mov eax, 14                     # statistics
    int 0x80
    test rax, rax
    jnz wrong
    inc r14
    cmp [rsp + 16], r14
    jne wrong
    xor edi, edi
    jmp leave

user_privileged:
    cli
    jmp wrong

# Reads the word at rdi, which is the kernel's.
user_kernel:
    mov rax, [rdi]
    jmp wrong

user_text:
    mov byte ptr [rip + user_text], 0x90
    jmp wrong

user_stack_code:
    mov byte ptr [rsp], 0xc3
    mov rax, rsp
    call rax
    jmp wrong

user_spin:
    jmp user_spin

# Fills and verifies all registers rdi times, with a system call between.
user_torture:
    mov rbx, rdi
    mov eax, 11                     # current: segments of the task's own
    int 0x80
    mov r12, rax
    mov r13d, 0x1b
    test r12d, 1
    jz 1f
    mov r13d, 0x23
1:  mov ds, r13d
    mov es, r13d
    mov fs, r13d
    mov gs, r13d
    lea rax, [r12 + 5]
    wrfsbase rax
    lea rax, [r12 + 6]
    wrgsbase rax
    lea rdi, [rbx + r12 + 0x5000]
    mov esi, 100000
    mov eax, 0x401000
    call rax
    test rax, rax
    jnz wrong
    mov eax, 1
    int 0x80
    mov ecx, ds
    mov edx, es
    mov esi, fs
    mov edi, gs
    cmp ecx, r13d
    jne wrong_segment
    cmp edx, r13d
    jne wrong_segment
    cmp esi, r13d
    jne wrong_segment
    cmp edi, r13d
    jne wrong_segment
    rdfsbase rax
    sub rax, r12
    cmp rax, 5
    jne wrong_segment
    rdgsbase rax
    sub rax, r12
    cmp rax, 6
    jne wrong_segment
    dec rbx
    jnz 1b
    xor edi, edi
    jmp leave

# Each of the calls (rdi: an address of the kernel's); ends with 0, or with the number of the step (r15) that went wrong.
user_calls:
    sub rsp, 64
    mov qword ptr [rsp], 0          # the stack's first page fault
    mov [rsp + 48], rdi
    mov r15d, 10
    mov eax, 11                     # current
    int 0x80
    mov r12, rax
    mov eax, 12                     # now
    int 0x80
    mov r13, rax
    mov eax, 1                      # yield
    int 0x80
    test rax, rax
    jnz step
    mov r15d, 11
    mov eax, 2                      # sleep
    mov edi, 1000000
    int 0x80
    mov eax, 12
    int 0x80
    sub rax, r13
    cmp rax, 1000000
    jl step
    mov r15d, 12                    # spawn, join
    mov eax, 6
    lea rdi, [rip + user_compute]
    sub rdi, 0x400000
    mov esi, 1000
    xor edx, edx
    int 0x80
    mov rdi, rax
    mov eax, 7
    int 0x80
    cmp rax, 7
    jne step
    mov r15d, 13                    # kill
    mov eax, 6
    lea rdi, [rip + user_spin]
    sub rdi, 0x400000
    mov edx, 1
    int 0x80
    mov r14, rax
    mov rdi, rax
    mov eax, 8
    int 0x80
    test rax, rax
    jnz step
    mov r15d, 14
    mov rdi, r14
    mov eax, 7
    int 0x80
    mov rcx, 0x100000000
    cmp rax, rcx
    jne step
    mov r15d, 15                    # it is gone
    mov rdi, r14
    mov eax, 8
    int 0x80
    cmp rax, -2
    jne step
    mov r15d, 16                    # unpark, block
    mov rdi, r12
    mov eax, 5
    int 0x80
    test rax, rax
    jnz step
    mov edi, 3
    mov eax, 3
    int 0x80
    mov r15d, 17                    # wake who does not wait
    mov rdi, r12
    mov eax, 4
    int 0x80
    cmp rax, -1
    jne step
    mov r15d, 18                    # priority, affinity
    mov rdi, r12
    mov esi, 90
    mov eax, 9
    int 0x80
    test rax, rax
    jnz step
    mov rdi, r12
    mov esi, 1
    mov eax, 10
    int 0x80
    test rax, rax
    jnz step
    mov r15d, 19                    # write
    lea rdi, [rip + greeting]
    mov esi, 18
    mov eax, 13
    int 0x80
    cmp rax, 18
    jne step
    mov r15d, 20                    # not from the kernel's memory
    mov rdi, [rsp + 48]
    mov esi, 8
    mov eax, 13
    int 0x80
    cmp rax, -3
    jne step
    mov r15d, 21                    # statistics
    mov rdi, r12
    mov rsi, rsp
    mov eax, 14
    int 0x80
    test rax, rax
    jnz step
    cmp qword ptr [rsp + 16], 0     # page faults
    je step
    mov r15d, 22                    # no such call
    mov eax, 999
    int 0x80
    cmp rax, -4
    jne step
    xor r15d, r15d
step:
    mov edi, r15d
    jmp leave

wrong_segment:
    mov edi, 2
    jmp leave
wrong:
    mov edi, 1
leave:
    xor eax, eax
    int 0x80
    ud2
greeting:
    .ascii "hello from ring 3\n"
user_end:
.text
